"""The product's ranking over arrays: thousands of pages in seconds. Pure.

The same formulas in the same order as `matching.ranking`, whose objects would take ten
times as long; tests/test_market.py compares the pages of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench._market.population import Float32Array, FloatArray, IntArray
from matching.ranking.newcomers import HAIR, PLACES
from matching.ranking.stages import Weights

# People picked one by one for diversity: those of a page, and whom newcomers pass.
PICKS_PER_PLACE = 2


@dataclass(frozen=True, eq=False)
class Found:
    """n candidates of one viewer, by ascending id; all (n,) but `alike` (n, n).

    `preference` and `liked_back` in log-odds, `alike` the cosines of their features.
    """

    preference: FloatArray
    liked_back: FloatArray
    inactive_days: FloatArray
    expected_likes: FloatArray
    impressions: IntArray
    age_days: FloatArray
    alike: Float32Array


def page(found: Found, weights: Weights, *, size: int) -> IntArray:
    """The indices of the best, in order: equal scores by id."""
    scores = found.preference + weights.reciprocity * found.liked_back
    scores = scores + recency(found, weights) + exposure(found, weights)
    if weights.diversity:
        scores = scores + diversity(found, scores, weights, size=size)
    if weights.newcomers:
        scores = scores + newcomers(found, scores, weights)
    return np.argsort(-scores, kind="stable")[:size]


def recency(found: Found, weights: Weights) -> FloatArray:
    """weight * 2^(-days / half-life), (n,)."""
    days = np.maximum(0.0, found.inactive_days)
    decay = np.exp2(-days / weights.recency_half_life_days)
    return np.asarray(weights.recency * decay)


def exposure(found: Found, weights: Weights) -> FloatArray:
    """-weight * ln(expected likes / cap), and nothing below the cap, (n,)."""
    over = np.maximum(found.expected_likes, weights.exposure_cap)
    return np.asarray(-weights.exposure * np.log(over / weights.exposure_cap))


def diversity(
    found: Found, scores: FloatArray, weights: Weights, *, size: int
) -> FloatArray:
    """-weight * the greatest cosine, if above 0, to anybody picked before, (n,)."""
    penalties = np.zeros(len(scores))
    waiting = np.ones(len(scores), dtype=np.bool_)
    for _ in range(min(PICKS_PER_PLACE * size, len(scores))):
        picked = int(np.where(waiting, scores + penalties, -np.inf).argmax())
        waiting[picked] = False
        likeness = np.maximum(found.alike[picked], 0.0)
        closer = np.minimum(penalties, -weights.diversity * likeness)
        penalties = np.where(waiting, closer, penalties)
    return penalties


def newcomers(found: Found, scores: FloatArray, weights: Weights) -> FloatArray:
    """Lifts the j-th best newcomer above the (9j + 1)-th best of the others, (n,)."""
    owed = found.age_days < weights.newcomer_days
    owed &= found.impressions < weights.newcomer_impressions
    order = np.argsort(-scores, kind="stable")
    new, others = order[owed[order]], order[~owed[order]]
    behind = others[PLACES - 1 :: PLACES - 1][: len(new)]
    new = new[: len(behind)]
    lifts = np.zeros(len(scores))
    lacking = scores[behind] + HAIR - scores[new]
    lifts[new] = np.clip(lacking, 0.0, weights.newcomers)
    return lifts
