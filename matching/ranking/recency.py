"""Who was here lately is likelier to answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching.ranking.base import Candidate, FloatArray


@dataclass(frozen=True)
class Recency:
    """weight * 2^(-days / half-life): all of it to who is active now, in time none."""

    weight: float
    half_life_days: float

    def __call__(self, candidates: Sequence[Candidate], _: FloatArray) -> FloatArray:
        days = np.array([max(0.0, c.inactive_days) for c in candidates])
        decayed: FloatArray = self.weight * np.exp2(-days / self.half_life_days)
        return decayed
