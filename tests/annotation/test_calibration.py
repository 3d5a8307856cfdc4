"""Calibration makes said and seen frequencies agree, and never reorders."""

from __future__ import annotations

import numpy as np
import pytest

from annotation.calibration.scaling import (
    Outcomes,
    Scaling,
    expected_calibration_error,
    fit_exclusive,
    fit_independent,
    reliability,
    sigmoid,
    softmax,
    unchanged,
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_softmax_and_sigmoid_survive_huge_logits() -> None:
    assert np.allclose(softmax(np.array([[1e4, 0.0]])), [[1, 0]])
    assert np.allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])


def test_it_undoes_overconfidence_of_an_exclusive_head(
    rng: np.random.Generator,
) -> None:
    true_logits = rng.normal(size=(4000, 4))
    p = softmax(true_logits)
    drawn = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    allowed = np.eye(4, dtype=np.int8)[drawn]
    fitted = fit_exclusive(true_logits * 3 + [1, 0, 0, -1], allowed)
    restored = softmax(fitted.apply(true_logits * 3 + [1, 0, 0, -1]))
    assert np.abs(restored - p).mean() < 0.02


def test_a_label_that_can_mean_two_classes_does_not_choose_between_them(
    rng: np.random.Generator,
) -> None:
    logits = rng.normal(size=(500, 3))
    allowed = np.tile(np.array([1, 1, 0], np.int8), (500, 1))
    fitted = fit_exclusive(logits, allowed)
    assert fitted.bias[2] < min(fitted.bias[:2]) - 1
    assert abs(fitted.bias[0] - fitted.bias[1]) < 0.2


def test_photos_without_a_label_are_not_used() -> None:
    nothing_known = fit_exclusive(np.ones((9, 3)), np.zeros((9, 3), np.int8))
    assert np.array_equal(nothing_known.scale, unchanged(3).scale)
    unknown = fit_independent(np.ones((9, 2)), np.full((9, 2), -1, np.int8))
    assert np.array_equal(unknown.bias, [0, 0])


def test_it_undoes_overconfidence_of_independent_classes(
    rng: np.random.Generator,
) -> None:
    true_logits = rng.normal(-1, 1.5, size=(6000, 2))
    labels = (rng.random((6000, 2)) < sigmoid(true_logits)).astype(np.int8)
    crooked = true_logits * [4, 0.5] + [2, -1]
    fitted = fit_independent(crooked, labels)
    before = expected_calibration_error(sigmoid(crooked[:, 0]), labels[:, 0])
    after = expected_calibration_error(
        sigmoid(fitted.apply(crooked))[:, 0], labels[:, 0]
    )
    assert before > 0.1
    assert after < 0.025


def test_calibrating_keeps_the_order_of_photos(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(300, 1))
    labels = (rng.random((300, 1)) < 0.5).astype(np.int8)
    fitted = fit_independent(logits, labels)
    assert (fitted.scale > 0).all()
    assert np.array_equal(fitted.apply(logits)[:, 0].argsort(), logits[:, 0].argsort())


def test_perfect_and_hopeless_probabilities_have_the_errors_they_should() -> None:
    outcomes = np.array([0, 0, 1, 1])
    assert expected_calibration_error(outcomes.astype(float), outcomes) == 0
    assert expected_calibration_error(1.0 - outcomes, outcomes) == 1
    assert expected_calibration_error(np.full(4, 0.5), outcomes) == 0


def test_a_scaling_is_applied_per_class() -> None:
    scaling = Scaling(np.array([2.0, 1.0]), np.array([0.0, -1.0]))
    assert np.array_equal(scaling.apply(np.array([[1.0, 1.0]])), [[2.0, 0.0]])


def test_a_strong_ridge_leaves_logits_as_they_are(rng: np.random.Generator) -> None:
    logits = rng.normal(size=(20, 3))
    allowed = np.tile(np.array([1, 0, 0], np.int8), (20, 1))
    free, held = fit_exclusive(logits, allowed), fit_exclusive(logits, allowed, ridge=9)
    assert np.abs(free.bias).max() > 1
    assert np.abs(held.bias).max() < 0.15
    classwise = fit_independent(logits, allowed, ridge=np.array([0.01, 9, 9]))
    assert classwise.bias[0] > 1
    assert np.abs(classwise.bias[1:]).max() < 0.15


def test_the_bins_add_up_to_the_calibration_error(rng: np.random.Generator) -> None:
    said = rng.random(300)
    came = (rng.random(300) < said**2).astype(float)
    weight, none = np.ones(300), np.zeros(300)
    bins = reliability(Outcomes(said, came, none, none, weight))
    assert len(bins) == 15
    gap = sum(b.labels * abs(b.said - b.came) for b in bins) / 300
    assert gap == pytest.approx(expected_calibration_error(said, came))
    assert gap > 0.1
