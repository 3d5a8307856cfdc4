"""How well probabilities rank and separate, of many resamples at once. Pure: numpy.

`counts` (draws, n) say how often each of n photos is drawn; a figure is (draws,). Where
they are left out, every photo counts once, and the figure is (1,). A figure that needs
both outcomes is nan where either lacks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Outcomes = npt.NDArray[np.bool_]

DRAWS: Final = 300
LEVEL: Final = 0.95


def resampled(photos: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """Counts (1 + draws, photos): everybody once, then bootstrap samples (Efron 1979).

    Photos are drawn, and all that is asked of a photo with it.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(photos, np.full(photos, 1 / photos), size=draws)
    return np.vstack([np.ones(photos), drawn])


def estimate(figures: Floats) -> dict[str, float]:
    """The first figure, and the percentile interval of those after it."""
    draws = figures[1:][~np.isnan(figures[1:])]
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = np.quantile(draws, tails) if len(draws) else (np.nan, np.nan)
    return {"value": float(figures[0]), "low": float(low), "high": float(high)}


def auc(scores: Floats, outcomes: Outcomes, counts: Floats | None = None) -> Floats:
    """P(a positive scores above a negative), ties count half (Hanley & McNeil 1982)."""
    hits, misses = _by_score(scores, outcomes, counts)
    below = misses.cumsum(1) - misses / 2
    return _share((hits * below).sum(1), hits.sum(1) * misses.sum(1))


def average_precision(
    scores: Floats, outcomes: Outcomes, counts: Floats | None = None
) -> Floats:
    """Mean over the positives of precision at their scores; a coin's is the base rate.

    Of equal scores all are found together (Manning et al. 2008, 8.4).
    """
    hits, misses = (part[:, ::-1] for part in _by_score(scores, outcomes, counts))
    precision = _share(hits.cumsum(1), (hits + misses).cumsum(1))
    return _share(np.where(hits > 0, hits * precision, 0).sum(1), hits.sum(1))


def balanced_accuracy(
    answers: Outcomes, outcomes: Outcomes, counts: Floats | None = None
) -> Floats:
    """Mean of the shares of positives and of negatives told; a constant's is 0.5."""
    once = _given(counts, len(outcomes))
    told = [
        _share(once[:, kind & right].sum(1), once[:, kind].sum(1))
        for kind, right in ((outcomes, answers), (~outcomes, ~answers))
    ]
    return np.asarray((told[0] + told[1]) / 2)


def best_threshold(scores: Floats, outcomes: Outcomes) -> float:
    """The least score to say yes at, by balanced accuracy; 0.5 if either kind lacks."""
    if outcomes.all() or not outcomes.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    hits = outcomes[order].cumsum() / outcomes.sum()
    alarms = (~outcomes[order]).cumsum() / (~outcomes).sum()
    # Equal scores are answered alike: only the last of them can be the threshold.
    last = np.append(np.diff(scores[order]) != 0, True)
    return float(scores[order][np.where(last, hits - alarms, -np.inf).argmax()])


def _by_score(
    scores: Floats, outcomes: Outcomes, counts: Floats | None
) -> tuple[Floats, Floats]:
    """Positives and negatives at each different score, lowest first, (draws, k)."""
    order = np.argsort(scores, kind="stable")
    once = _given(counts, len(scores))[:, order]
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    if not len(starts):
        return once, once
    hits = np.add.reduceat(once * outcomes[order], starts, axis=1)
    return hits, np.add.reduceat(once * ~outcomes[order], starts, axis=1)


def _given(counts: Floats | None, photos: int) -> Floats:
    return np.ones((1, photos)) if counts is None else counts


def _share(part: Floats, whole: Floats) -> Floats:
    nothing = np.full(whole.shape, np.nan)
    return np.asarray(np.divide(part, whole, out=nothing, where=whole > 0))
