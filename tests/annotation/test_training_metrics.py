"""The measures that the model card reports, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotation.small.heads import FACE_HEADS, slices, width
from annotation.evaluation.labels import UNKNOWN
from annotation.training.metrics import (
    auc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    recall_at_1,
)
from annotation.training.ranking import mean_auc

OUTCOMES = np.array([True, False, True, False])


def test_auc_is_the_chance_that_a_positive_scores_higher() -> None:
    assert auc(np.array([4.0, 3, 2, 1]), OUTCOMES) == 0.75
    assert auc(np.array([4.0, 1, 3, 2]), OUTCOMES) == 1
    assert auc(np.array([1.0, 4, 2, 3]), OUTCOMES) == 0


def test_equal_scores_count_half() -> None:
    assert auc(np.zeros(4), OUTCOMES) == 0.5


def test_without_both_outcomes_there_is_no_auc() -> None:
    assert math.isnan(auc(np.arange(4.0), np.ones(4, bool)))
    assert math.isnan(average_precision(np.arange(4.0), np.zeros(4, bool)))


def test_average_precision_is_taken_at_the_ranks_of_the_positives() -> None:
    scores = np.array([4.0, 3, 2, 1])
    assert average_precision(scores, OUTCOMES) == pytest.approx((1 + 2 / 3) / 2)


def test_recall_counts_only_those_who_have_another_photo() -> None:
    features = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [0.5, 0.5]])
    assert recall_at_1(features, np.array([1, 1, 2, 3, 2])) == pytest.approx(0.5)
    assert math.isnan(recall_at_1(features, np.arange(5)))


def test_balanced_accuracy_counts_both_kinds_alike() -> None:
    outcomes = np.array([True, False, False, False])
    assert balanced_accuracy(np.zeros(4, bool), outcomes) == 0.5
    assert balanced_accuracy(np.array([1, 1, 0, 0], bool), outcomes) == pytest.approx(
        (1 + 2 / 3) / 2
    )


def test_the_best_threshold_tells_most_of_both_kinds() -> None:
    scores = np.array([0.9, 0.8, 0.8, 0.3, 0.1])
    outcomes = np.array([True, True, True, False, False])
    assert best_threshold(scores, outcomes) == 0.8
    # Cutting between the two equal scores would be better, and is impossible.
    assert best_threshold(scores, np.array([True, True, False, False, False])) == 0.8
    assert best_threshold(scores, np.ones(5, bool)) == 0.5


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
