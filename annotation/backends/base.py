"""What every annotator is: photos in, readings out, errors told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from annotation.schema import Attributes, Gate, Verdict


class Source(StrEnum):
    """Where a reading's numbers come from: each kind has a calibration of its own."""

    PROBABILITIES = "probabilities"
    ONE_HOT = "one_hot"  # a model that names values and gives no probabilities


@dataclass(frozen=True)
class Call:
    """One try at one photo: what it took. The ledger keeps a row of each.

    `provider` is a server's name in the settings, "" on this machine; `outcome` is
    "done" or an error's reason; `seconds` is this photo's share of the wall time.
    """

    seconds: float
    provider: str = ""
    outcome: str = "done"
    tokens_in: int = 0
    tokens_out: int = 0
    gpu_seconds: float = 0.0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What one photo shows, as one annotator saw it, before any later calibration.

    `attributes` obeys `annotation.schema`; `features` are the annotator's pooled vision
    features, float32 of shape (width,), or None if it has none; `seconds` is this
    photo's share of the batch's wall time; `mass` says, by attribute, how much of the
    model's probability fell on any value at all; `calls` are the tries that it took.
    """

    attributes: Attributes
    gates: dict[Gate, Verdict]
    features: npt.NDArray[np.float32] | None
    seconds: float
    source: Source = Source.PROBABILITIES
    mass: Mapping[str, float] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()

    @property
    def cost_usd(self) -> float:
        """What all tries cost together."""
        return sum(call.cost_usd for call in self.calls)

    @property
    def tokens(self) -> int:
        """Tokens read and written by all tries together."""
        return sum(call.tokens_in + call.tokens_out for call in self.calls)


class BackendUnavailableError(Exception):
    """This back end cannot read anything here; the message says what it needs.

    Weights, memory, a GPU or a key are missing: no photo is to blame, none has failed.
    `calls` are the tries that found it out, for each photo that was asked about.
    """

    def __init__(self, message: str, calls: Sequence[tuple[Call, ...]] = ()) -> None:
        super().__init__(message)
        self.calls = list(calls)


class AnnotationError(Exception):
    """A photo could not be read. `reason` is a stable word, safe to store and show."""

    def __init__(self, reason: str, calls: tuple[Call, ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.calls = calls


class TransientError(AnnotationError):
    """Trying again later may help: a time-out, a busy server, no memory just now.

    Not `counted` if the photo has nothing to do with it: it has its attempt back.
    """

    def __init__(
        self, reason: str, calls: tuple[Call, ...] = (), *, counted: bool = True
    ) -> None:
        super().__init__(reason, calls)
        self.counted = counted


class PermanentError(AnnotationError):
    """Trying again gives the same: the photo is broken, or it was refused."""


# Between a version's name and the calibration that it is read by.
CALIBRATION_MARK: Final = "#"


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
        """The version that has this name, whatever calibration it is read by."""
        name, _, _ = name.partition(CALIBRATION_MARK)
        backend, _, rest = name.partition(":")
        model, _, prompt = rest.partition("@")
        return cls(backend, model, prompt)


class Annotator(Protocol):
    """A back end: loaded on first use, safe to share between threads."""

    @property
    def version(self) -> AnnotatorVersion: ...

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Read encoded images (JPEG, PNG or WebP); one outcome each, in their order.

        One bad photo fails alone. Raises TransientError only if the whole batch failed,
        BackendUnavailableError if nothing can be read here at all.
        """
        ...


def gates(**known: Verdict) -> dict[Gate, Verdict]:
    """All four gates: those given by name, and `unknown` for the others."""
    return {gate: known.get(gate, Verdict.UNKNOWN) for gate in Gate}
