"""The popular few do not take all: a soft cap on expected likes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching.ranking.base import Candidate, FloatArray


@dataclass(frozen=True)
class Exposure:
    """-weight * ln(expected likes / cap), and nothing below the cap.

    Above it, the odds are divided by (expected / cap)^weight: with a weight of 1, as
    if what exceeds the cap were shared out among others.
    """

    weight: float
    cap: float

    def __call__(self, candidates: Sequence[Candidate], _: FloatArray) -> FloatArray:
        expected = np.array([c.expected_likes for c in candidates])
        excess = np.log(np.maximum(expected, self.cap) / self.cap)
        # Not -weight * excess, which makes a negative zero of nothing.
        return np.asarray(0.0 - self.weight * excess)
