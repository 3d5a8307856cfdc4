"""What every annotator is: photos in, readings out, errors told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from annotation.schema import Attributes, Gate, Verdict


class Source(StrEnum):
    """Where a reading's numbers come from: each kind has a calibration of its own."""

    PROBABILITIES = "probabilities"
    ONE_HOT = "one_hot"  # a model that names values and gives no probabilities


@dataclass(frozen=True)
class Reading:
    """What one photo shows, as one annotator saw it.

    `attributes` obeys `annotation.schema`; `features` are the annotator's pooled vision
    features, float32 of shape (width,), or None if it has none; `seconds` is this
    photo's share of the batch's wall time.
    """

    attributes: Attributes
    gates: dict[Gate, Verdict]
    features: npt.NDArray[np.float32] | None
    seconds: float
    cost_usd: float = 0.0
    tokens: int = 0
    source: Source = Source.PROBABILITIES


class AnnotationError(Exception):
    """A photo could not be read. `reason` is a stable word, safe to store and show."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TransientError(AnnotationError):
    """Trying again later may help: a time-out, a busy server, no memory just now."""


class PermanentError(AnnotationError):
    """Trying again gives the same: the photo is broken, or it was refused."""


@dataclass(frozen=True)
class AnnotatorVersion:
    """Who read a photo. Two readings may be compared only if these are equal."""

    backend: str
    model: str
    prompt: str = ""

    @property
    def name(self) -> str:
        """One word for all three, such as "small:small-1-3fa9c2d1"."""
        prompt = f"@{self.prompt}" if self.prompt else ""
        return f"{self.backend}:{self.model}{prompt}"

    @classmethod
    def of_name(cls, name: str) -> AnnotatorVersion:
        """The version that has this name."""
        backend, _, rest = name.partition(":")
        model, _, prompt = rest.partition("@")
        return cls(backend, model, prompt)


class Annotator(Protocol):
    """A back end: loaded on first use, safe to share between threads."""

    @property
    def version(self) -> AnnotatorVersion: ...

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Read encoded images (JPEG, PNG or WebP); one outcome each, in their order.

        One bad photo fails alone. Raises TransientError only if the whole batch failed.
        """
        ...


def gates(**known: Verdict) -> dict[Gate, Verdict]:
    """All four gates: those given by name, and `unknown` for the others."""
    return {gate: known.get(gate, Verdict.UNKNOWN) for gate in Gate}
