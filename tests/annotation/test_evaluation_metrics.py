"""The measures that the model card reports, against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from annotation.evaluation.metrics import (
    Floats,
    Outcomes,
    auc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    estimate,
    resampled,
)

OUTCOMES = np.array([True, False, True, False])


def test_auc_is_the_chance_that_a_positive_scores_higher() -> None:
    assert auc(np.array([4.0, 3, 2, 1]), OUTCOMES) == 0.75
    assert auc(np.array([4.0, 1, 3, 2]), OUTCOMES) == 1
    assert auc(np.array([1.0, 4, 2, 3]), OUTCOMES) == 0


def test_equal_scores_count_half() -> None:
    assert auc(np.zeros(4), OUTCOMES) == 0.5
    assert auc(np.array([1.0, 1, 1, 0]), OUTCOMES) == 0.75


def test_without_both_outcomes_there_is_no_figure() -> None:
    assert math.isnan(auc(np.arange(4.0), np.ones(4, bool)).item())
    assert math.isnan(average_precision(np.arange(4.0), np.zeros(4, bool)).item())
    assert math.isnan(balanced_accuracy(OUTCOMES, np.ones(4, bool)).item())


def test_average_precision_is_taken_at_the_scores_of_the_positives() -> None:
    scores = np.array([4.0, 3, 2, 1])
    assert average_precision(scores, OUTCOMES) == pytest.approx((1 + 2 / 3) / 2)
    # Of three equal scores, two are positive: found together, two of three are right.
    tied = np.array([1.0, 1, 1, 0])
    assert average_precision(tied, OUTCOMES) == pytest.approx(2 / 3)


def test_a_constant_answer_has_the_base_rate_as_its_average_precision() -> None:
    outcomes = np.array([True, False, False, False])
    assert average_precision(np.zeros(4), outcomes) == 0.25
    assert auc(np.zeros(4), outcomes) == 0.5
    assert balanced_accuracy(np.zeros(4, bool), outcomes) == 0.5


def test_balanced_accuracy_counts_both_kinds_alike() -> None:
    outcomes = np.array([True, False, False, False])
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


Measure = Callable[[Floats, Outcomes, Floats | None], Floats]
MEASURES: dict[str, Measure] = {
    "auc": auc,
    "average_precision": average_precision,
    "balanced_accuracy": lambda s, o, c: balanced_accuracy(s > 0.5, o, c),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_a_photo_that_is_drawn_twice_counts_as_two_photos(measure: Measure) -> None:
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 8, 40) / 8  # many of them equal
    outcomes = rng.random(40) < 0.4
    counts = rng.integers(0, 4, (6, 40)).astype(float)
    at_once = measure(scores, outcomes, counts)
    one_by_one = [
        measure(np.repeat(scores, c), np.repeat(outcomes, c), None).item()
        for c in counts.astype(int)
    ]
    assert at_once == pytest.approx(one_by_one)


def test_an_interval_holds_what_is_true_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for seed in range(60):
        outcomes = np.arange(200) < 80
        scores = rng.normal(size=200) + outcomes  # two normals one apart: AUC 0.7602
        drawn = resampled(200, draws=200, seed=seed)
        told = estimate(auc(scores, outcomes, drawn))
        held += told["low"] <= 0.7602 <= told["high"]
    assert 51 <= held <= 60


def test_the_first_of_the_resamples_is_everybody_once() -> None:
    counts = resampled(30, draws=5)
    assert counts.shape == (6, 30)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 30).all()


def test_draws_without_a_figure_are_left_out_of_the_interval() -> None:
    told = estimate(np.array([0.7, np.nan, 0.6, 0.8]))
    assert told["value"] == 0.7
    assert 0.6 <= told["low"] < told["high"] <= 0.8
