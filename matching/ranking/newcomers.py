"""Who is new is seen: a place of every ten is kept for them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching.ranking.base import Candidate, FloatArray, by_score

# One place of so many is a newcomer's.
PLACES = 10
# Log-odds: who is lifted comes before the other, whatever the rounding of the sum.
HAIR = 1e-9


@dataclass(frozen=True)
class Newcomers:
    """Lifts the j-th best newcomer a hair above the (9j + 1)-th best of the others.

    So j of them are among the first 10j, if `weight`, the most that anybody is lifted
    by, allows: nobody is shown to whom they would hardly appeal. A newcomer is here for
    fewer than `days` and has been shown fewer than `impressions` times.
    """

    weight: float
    days: float
    impressions: float

    def __call__(
        self, candidates: Sequence[Candidate], scores: FloatArray
    ) -> FloatArray:
        order = by_score(candidates, scores)
        new = [i for i in order if self.is_owed(candidates[i])]
        others = [i for i in order if not self.is_owed(candidates[i])]
        lifts = np.zeros(len(scores))
        behind = others[PLACES - 1 :: PLACES - 1]  # the 10th, the 19th, …
        for newcomer, other in zip(new, behind, strict=False):
            lacking = scores[other] + HAIR - scores[newcomer]
            lifts[newcomer] = np.clip(lacking, 0.0, self.weight)
        return lifts

    def is_owed(self, candidate: Candidate) -> bool:
        """Whether this person is new, and has not been shown often enough."""
        is_new = candidate.age_days < self.days
        return is_new and candidate.impressions < self.impressions
