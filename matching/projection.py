"""From vision features of any width to the 512-wide embedding. Pure."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from matching.features import VISUAL_WIDTH

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

SEED = 20_26
UNTRAINED = "untrained-orthonormal-"
IDENTITY = "identity"
LAYER_NORM_EPSILON = 1e-5  # torch's


@dataclass(frozen=True, eq=False)
class Projection:
    """What makes embeddings of `width` features; `transform` (…, width) -> (…, 512).

    Embeddings may be compared only under one version.
    """

    version: str
    width: int
    transform: Callable[[FloatArray], FloatArray]

    def __call__(self, features: npt.NDArray[Any]) -> FloatArray:
        """Unit embeddings (..., 512) of features (..., width); zeros stay zeros.

        Raises ValueError if the width is wrong or a feature is not finite.
        """
        raw = np.asarray(features, dtype=np.float64)
        if raw.shape[-1] != self.width:
            raise ValueError(
                f"{self.version} takes {self.width} features, not {raw.shape[-1]}"
            )
        if not np.isfinite(raw).all():
            raise ValueError("features must be finite")
        projected = self.transform(raw) * raw.any(axis=-1, keepdims=True)
        norm = np.linalg.norm(projected, axis=-1, keepdims=True)
        unit: FloatArray = projected / np.where(norm == 0, 1.0, norm)
        return unit


def untrained(*, width: int) -> Projection:
    """The projection used before a head was trained: angles are kept, nothing learned.

    The identity for 512 features; else an orthonormal matrix drawn from a fixed seed,
    which keeps inner products exactly (narrower) or on average (wider).
    """
    if width == VISUAL_WIDTH:
        return Projection(IDENTITY, width, lambda raw: raw)
    rng = np.random.default_rng(SEED)
    shape = (max(width, VISUAL_WIDTH), min(width, VISUAL_WIDTH))
    orthonormal, _ = np.linalg.qr(rng.standard_normal(shape))
    matrix = orthonormal if width > VISUAL_WIDTH else orthonormal.T
    return Projection(f"{UNTRAINED}{width}", width, lambda raw: raw @ matrix)


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """A trained head: Linear -> LayerNorm -> GELU -> Linear, in float32.

    `inward` (width, hidden), `inward_bias`, `gain` and `shift` (hidden,), `outward`
    (hidden, 512), `outward_bias` (512,). Dropout is for training only.
    """

    inward: Float32Array
    inward_bias: Float32Array
    gain: Float32Array
    shift: Float32Array
    outward: Float32Array
    outward_bias: Float32Array

    def __post_init__(self) -> None:
        width, hidden = self.inward.shape
        shapes = [(width, hidden), *[(hidden,)] * 3, (hidden, VISUAL_WIDTH)]
        for array, shape in zip(
            self._arrays(), [*shapes, (VISUAL_WIDTH,)], strict=True
        ):
            if array.shape != shape or array.dtype != np.float32:
                raise ValueError("these arrays do not make a head")
            if not np.isfinite(array).all():
                raise ValueError("a weight is not a number")

    @property
    def width(self) -> int:
        """How many features it takes."""
        return len(self.inward)

    def __call__(self, features: FloatArray) -> FloatArray:
        """Embeddings (..., 512) of features (..., width), before they are normalised.

        GELU in its tanh form (Hendrycks & Gimpel 2016, 2), which numpy has.
        """
        x = features @ self.inward + self.inward_bias
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt((x**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        x = x * self.gain + self.shift
        x *= 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        embeddings: FloatArray = x @ self.outward + self.outward_bias
        return embeddings

    def version(self, annotator: str) -> str:
        """A name made of the weights and of whose features they are for."""
        digest = hashlib.sha256(annotator.encode())
        for array in self._arrays():
            digest.update(repr(array.shape).encode() + array.tobytes())
        return f"h-{digest.hexdigest()[:10]}"

    def to_npz(self) -> bytes:
        """A file from which `from_npz` makes bitwise the same head."""
        out = io.BytesIO()
        np.savez(out, **{f.name: getattr(self, f.name) for f in fields(self)})
        return out.getvalue()

    @classmethod
    def from_npz(cls, data: bytes) -> HeadWeights:
        """Raises ValueError if the file is damaged or holds anything else."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as stored:
                return cls(**{f.name: stored[f.name] for f in fields(cls)})
        except (OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ValueError(f"no weights file: {type(error).__name__}") from None

    def _arrays(self) -> list[Float32Array]:
        return [getattr(self, f.name) for f in fields(self)]
