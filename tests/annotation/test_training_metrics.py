"""The measures that the model card reports, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from annotation.training.metrics import auc, average_precision, recall_at_1

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
