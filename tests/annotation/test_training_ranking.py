"""What an epoch of training is judged by."""

from __future__ import annotations

import numpy as np

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import FACE_HEADS, slices, width
from annotation.training.ranking import mean_auc


def test_an_epoch_is_judged_by_the_labels_that_are_known() -> None:
    rows = np.arange(40)
    targets = np.zeros((40, width(FACE_HEADS)), np.int8)
    places = slices(FACE_HEADS)
    targets[:, places["presence"]] = targets[:, places["jewellery"]] = UNKNOWN
    texture = places["hair_texture"].start
    targets[rows[:30], texture + rows[:30] % 2] = 1
    logits = np.zeros(targets.shape)
    logits[rows[:30], texture + rows[:30] % 2] = 1
    logits[30:, texture] = 5  # wrong, but nobody knows
    assert mean_auc(logits, targets, FACE_HEADS) == 1
