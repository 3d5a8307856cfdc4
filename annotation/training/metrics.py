"""How well probabilities rank and separate. Pure: numpy only."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Outcomes = npt.NDArray[np.bool_]


def auc(scores: Floats, outcomes: Outcomes) -> float:
    """P(a positive scores above a negative), ties count half; nan if either lacks."""
    positives = int(outcomes.sum())
    negatives = len(outcomes) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = _mean_ranks(scores)
    above = ranks[outcomes].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def _mean_ranks(scores: Floats) -> Floats:
    """Ranks from 1, equal scores sharing the mean of theirs."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last = count.cumsum()
    return np.asarray((last - (count - 1) / 2)[place])


def average_precision(scores: Floats, outcomes: Outcomes) -> float:
    """Mean precision at the ranks of the positives; nan if there are none."""
    hits = outcomes[np.argsort(-scores, kind="stable")]
    if not hits.any():
        return float("nan")
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def recall_at_1(features: Floats, identity: npt.NDArray[np.int64]) -> float:
    """How often the nearest other photo shows the same person; of those who have one.

    `features` (n, width), each of length 1; nan if nobody has two photos.
    """
    similarity = features @ features.T
    np.fill_diagonal(similarity, -np.inf)
    _, place, count = np.unique(identity, return_inverse=True, return_counts=True)
    repeated = count[place] > 1
    if not repeated.any():
        return float("nan")
    nearest = identity[similarity.argmax(1)]
    return float((nearest == identity)[repeated].mean())
