"""A shorter vector that nearly keeps the order of a search. Pure.

A search takes as long as what it reads is wide. So lists hold sketches: the first
principal components of the people of a space, which hold nearly all by which they
differ, and one number more, the slack, that gives all sketches one length, as an index
by inner product needs it. What is found by sketch is scored again by the whole vector.

(Tepper et al. 2023, "LeanVec", of which this is the case without known queries.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matching.features import SKETCH_WIDTH, STORED_WIDTH

COMPONENTS = SKETCH_WIDTH - 1
# The few whose sketch is longer than this share of all get no slack: where length may
# be anything, all others get more of it, and lists tell them apart less well.
LONGEST = 0.999

Halves = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Sketch:
    """How sketches are made: sketch(x) = (B x - c ; sqrt(length² - |B x - c|²)).

    `basis` B (127, 768) in halves, `centre` c (127,). For a query it is (B q ; 0): then
    <sketch(x), sketch(q)> is about <x, q>, less what is the same for all x.
    """

    basis: Halves
    centre: Halves
    length: float

    @classmethod
    def fit(cls, vectors: npt.NDArray[np.floating]) -> Sketch:
        """By the principal components of stored vectors (n, 768)."""
        mean = vectors.mean(axis=0, dtype=np.float64)
        centred = vectors - mean
        covariance = centred.T @ centred / len(vectors)
        components = np.linalg.eigh(covariance)[1][:, : -COMPONENTS - 1 : -1].T
        basis = components.astype(np.float16)
        centre = (components @ mean).astype(np.float16)
        lengths = np.linalg.norm(centred @ components.T, axis=1)
        return cls(basis, centre, float(np.quantile(lengths, LONGEST)))

    def of_query(self, query: npt.NDArray[np.float32]) -> Halves:
        """(768,) to (128,)."""
        short: Halves = np.append(self.basis @ query, 0).astype(np.float16)
        return short

    def to_bytes(self) -> bytes:
        """Everything, to be kept."""
        length = np.array([self.length], dtype="<f8")
        halves = [part.astype("<f2").tobytes() for part in (self.basis, self.centre)]
        return b"".join([length.tobytes(), *halves])

    @classmethod
    def from_bytes(cls, kept: bytes) -> Sketch:
        """The same as was kept."""
        halves = np.frombuffer(kept, dtype="<f2", offset=8).astype(np.float16)
        basis, centre = halves[:-COMPONENTS], halves[-COMPONENTS:]
        length = float(np.frombuffer(kept, dtype="<f8", count=1)[0])
        return cls(basis.reshape(COMPONENTS, STORED_WIDTH), centre, length)
