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

# Whoever would come later is compared with these only; the work is picks * n * 644.
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
        penalties = np.zeros(len(scores))
        waiting = np.ones(len(scores), dtype=np.bool_)
        for _ in range(min(MAX_PICKS, len(scores))):
            values = np.where(waiting, scores + penalties, -np.inf)
            picked = int(values.argmax())
            waiting[picked] = False
            closer = np.minimum(penalties, -self.weight * (units @ units[picked]))
            penalties = np.where(waiting, closer, penalties)
        return penalties


def directions(features: FloatArray) -> FloatArray:
    """Unit vectors (n, 644); nothing known of somebody is like nobody."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units: FloatArray = features / np.where(lengths > 0, lengths, 1.0)
    return units
