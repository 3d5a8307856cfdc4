"""From vision features of any width to the 512-wide embedding. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from matching.features import VISUAL_WIDTH

FloatArray = npt.NDArray[np.float64]

SEED = 20_26


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear head, `matrix` of shape (width, 512), or None for the identity.

    Embeddings may be compared only under one version.
    """

    version: str
    matrix: FloatArray | None = None

    @property
    def width(self) -> int:
        """How many features it takes."""
        return VISUAL_WIDTH if self.matrix is None else len(self.matrix)

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
        projected = raw if self.matrix is None else raw @ self.matrix
        norm = np.linalg.norm(projected, axis=-1, keepdims=True)
        unit: FloatArray = projected / np.where(norm == 0, 1.0, norm)
        return unit


def untrained(*, width: int) -> Projection:
    """The projection used before a head was trained: angles are kept, nothing learned.

    The identity for 512 features; else an orthonormal matrix drawn from a fixed seed,
    which keeps inner products exactly (narrower) or on average (wider).
    """
    if width == VISUAL_WIDTH:
        return Projection("identity")
    rng = np.random.default_rng(SEED)
    shape = (max(width, VISUAL_WIDTH), min(width, VISUAL_WIDTH))
    orthonormal, _ = np.linalg.qr(rng.standard_normal(shape))
    matrix = orthonormal if width > VISUAL_WIDTH else orthonormal.T
    return Projection(f"untrained-orthonormal-{width}", matrix)
