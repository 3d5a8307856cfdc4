"""How well logits rank, before any readout: what an epoch is judged by. Pure: numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from annotation.calibration.scaling import Floats, softmax
from annotation.evaluation.labels import Targets
from annotation.evaluation.metrics import auc
from annotation.small.heads import Head, slices

FEWEST_POSITIVES: Final = 10


def mean_auc(logits: Floats, targets: Targets, heads: tuple[Head, ...]) -> float:
    """Mean AUC of all classes with enough positives and negatives; nan if none has."""
    found = [value for head in heads for value in _aucs(logits, targets, head, heads)]
    return float(np.mean(found)) if found else float("nan")


def _aucs(
    logits: Floats, targets: Targets, head: Head, heads: tuple[Head, ...]
) -> Iterator[float]:
    part = slices(heads)[head.name]
    scores, truth = logits[:, part], targets[:, part]
    if head.exclusive:
        known = (truth.sum(1) == 1)[:, None] & (truth >= 0)
        scores = softmax(scores)
    else:
        known = truth >= 0
    for column in range(len(head.classes)):
        rows = known[:, column]
        positive = truth[rows, column] == 1
        if min(positive.sum(), (~positive).sum()) >= FEWEST_POSITIVES:
            yield auc(scores[rows, column], positive).item()
