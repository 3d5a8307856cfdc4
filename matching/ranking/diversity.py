"""Not ten times the same: maximal marginal relevance (Carbonell, Goldstein 1998). Pure.

People are picked one by one, each time whoever is best after a penalty for being like
somebody picked before. A penalty only grows while others are picked, so that the scores
fall from pick to pick, and to sort by score afterwards gives the order of the picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching.ranking.base import Candidate, FloatArray, features_of

# Whoever would come later is compared with these only.
MAX_PICKS = 100


@dataclass(frozen=True)
class Diversity:
    """-weight * the greatest cosine, if above 0, to anybody picked before."""

    weight: float

    def __call__(
        self, candidates: Sequence[Candidate], scores: FloatArray
    ) -> FloatArray:
        # Of equal values the first is picked, which is to be the first by id.
        by_id = np.argsort([c.id for c in candidates], kind="stable")
        penalties = np.zeros(len(scores))
        penalties[by_id] = self._penalties(
            directions(features_of(candidates)[by_id]), scores[by_id]
        )
        return penalties

    def _penalties(self, units: FloatArray, scores: FloatArray) -> FloatArray:
        # All at once, which for a window is quicker than a product for each pick.
        tolls = -self.weight * (units @ units.T)
        waiting, growing = scores.copy(), np.zeros(len(scores))
        penalties = np.zeros(len(scores))
        for _ in range(min(MAX_PICKS, len(scores))):
            picked = int((waiting + growing).argmax())
            penalties[picked] = growing[picked]
            waiting[picked] = -np.inf
            np.minimum(growing, tolls[picked], out=growing)
        return np.where(np.isneginf(waiting), penalties, growing)


def directions(features: FloatArray) -> FloatArray:
    """Unit vectors (n, 644); nothing known of somebody is like nobody."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units: FloatArray = features / np.where(lengths > 0, lengths, 1.0)
    return units
