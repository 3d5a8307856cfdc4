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


def balanced_accuracy(answers: Outcomes, outcomes: Outcomes) -> float:
    """Mean of the shares of positives and of negatives told; nan if either lacks."""
    if outcomes.all() or not outcomes.any():
        return float("nan")
    return float((answers[outcomes].mean() + (~answers[~outcomes]).mean()) / 2)


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
