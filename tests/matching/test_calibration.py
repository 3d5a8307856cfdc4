"""Match scores: calibrators are monotone, true on what they have not seen, chosen."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.calibration import (
    FITS,
    MIN_OUTCOMES,
    BoolArray,
    FloatArray,
    Isotonic,
    Platt,
    fit,
    fit_isotonic,
    fit_platt,
    from_dict,
    log_loss,
    to_dict,
    version,
)
from matching.preference import sigmoid

SCORES = st.lists(st.floats(-6, 6), min_size=30, max_size=60)
Chance = Callable[[FloatArray], FloatArray]


def outcomes(chance: Chance, *, count: int = 4000) -> tuple[FloatArray, BoolArray]:
    """Scores, and likes that come with the chance that a function of them says."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=count)
    return scores, rng.random(count) < chance(scores)


def line(scores: FloatArray) -> FloatArray:
    return sigmoid(2.0 * scores - 1.0)


def stairs(scores: FloatArray) -> FloatArray:
    return np.where(scores > 0.5, 0.9, 0.2)


@pytest.mark.parametrize("method", FITS)
@given(scores=SCORES, data=st.data())
def test_a_calibrator_never_changes_an_order(
    method: str, scores: list[float], data: st.DataObject
) -> None:
    some = st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))
    calibrate = FITS[method](np.array(scores), np.array(data.draw(some)))
    chances = calibrate(np.linspace(-9, 9, 200))
    assert (np.diff(chances) >= 0).all()
    assert ((chances >= 0) & (chances <= 1)).all()


def test_platt_finds_the_line_that_made_the_likes() -> None:
    found = fit_platt(*outcomes(line, count=40_000))
    assert (found.slope, found.intercept) == pytest.approx((2.0, -1.0), abs=0.1)


def test_isotonic_finds_stairs_that_no_line_does() -> None:
    found = fit_isotonic(*outcomes(stairs))
    chances = found(np.array([-1.0, 0.0, 1.0, 2.0]))
    assert chances == pytest.approx([0.2, 0.2, 0.9, 0.9], abs=0.06)


def test_isotonic_is_the_least_squares_fit_that_does_not_decrease() -> None:
    liked = np.array([False, True, False, True, True, False])
    # By hand: 0 | 1 0 | 1 1 0 are the blocks, with the means 0, 1/2 and 2/3.
    knots = Isotonic((0.0, 1.5, 4.0), (1 / 8, 0.5, 2 / 3))
    assert fit_isotonic(np.arange(6.0), liked) == knots


@pytest.mark.parametrize("method", FITS)
def test_on_average_it_says_how_many_like(method: str) -> None:
    scores, liked = outcomes(lambda x: sigmoid(x - 2.0))
    said = FITS[method](scores, liked)(scores)
    assert said.mean() == pytest.approx(liked.mean(), abs=0.01)


def test_scores_that_say_the_opposite_leave_the_share_of_likes() -> None:
    scores, liked = outcomes(lambda x: sigmoid(-x))
    found = fit_platt(scores, liked)
    assert found.slope == 0.0
    assert found(scores) == pytest.approx(liked.mean(), abs=0.01)


@pytest.mark.parametrize(("chance", "kind"), [(line, Platt), (stairs, Isotonic)])
def test_the_one_that_is_better_on_outcomes_it_has_not_seen_is_chosen(
    chance: Chance, kind: type
) -> None:
    scores, liked = outcomes(chance)
    fitted = fit(scores, liked=liked)
    assert isinstance(fitted.calibrator, kind)
    assert fitted.is_better
    assert fitted.losses["model"] == pytest.approx(log_loss(sigmoid(scores), liked))
    assert (fitted.outcomes, fitted.likes) == (4000, liked.sum())


def test_a_model_that_is_right_already_is_not_bettered() -> None:
    scores, liked = outcomes(sigmoid, count=400)
    assert not fit(scores, liked=liked).is_better


def test_what_is_measured_was_held_out() -> None:
    rng = np.random.default_rng(0)
    scores, liked = rng.normal(size=200), rng.random(200) < 0.5
    fitted = fit(scores, liked=liked)
    assert fitted.losses["isotonic"] > log_loss(
        fit_isotonic(scores, liked)(scores), liked
    )


def test_what_one_person_likes_is_held_out_together() -> None:
    """Their scores are their own, and what others like says nothing of them."""
    rng = np.random.default_rng(0)
    whose = np.repeat(np.arange(20), 20)
    liked = rng.random(20)[whose] < rng.random(400)
    scores = whose + rng.normal(size=400) / 100
    viewers = [f"person {n}" for n in whose]
    together = fit(scores, liked=liked, viewers=viewers)
    apart = fit(scores, liked=liked)
    assert together.losses["isotonic"] > apart.losses["isotonic"]
    few = fit(scores, liked=liked, viewers=["one", "two"] * 200)
    assert few.losses == apart.losses


@pytest.mark.parametrize(
    "calibrator", [Platt(1.5, -0.2), Isotonic((0.0, 1.0), (0.2, 0.7))]
)
def test_it_is_kept_as_json_and_named_by_its_content(
    calibrator: Platt | Isotonic,
) -> None:
    same = from_dict(to_dict(calibrator))
    assert same == calibrator
    assert version(same) == version(calibrator)
    assert version(Platt(1.5, -0.3)) != version(calibrator)


def test_a_method_of_another_release_is_refused() -> None:
    with pytest.raises(ValueError, match="no such calibration method: beta"):
        from_dict({"method": "beta"})


@pytest.mark.parametrize(
    ("liked", "complaint"),
    [
        ([True] * 50 + [False] * (MIN_OUTCOMES - 51), "too few"),
        ([True] * 9 + [False] * 200, "9 likes and 200 others are too few"),
        ([True] * 200 + [False] * 9, "too few"),
    ],
)
def test_it_refuses_too_few_outcomes(liked: list[bool], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fit(np.zeros(len(liked)), liked=liked)


def test_it_refuses_scores_that_are_no_numbers_or_have_no_outcome() -> None:
    liked = [True, False] * 60
    with pytest.raises(ValueError, match="not a finite number"):
        fit([np.nan] * 120, liked=liked)
    with pytest.raises(ValueError, match="119 scores but 120 outcomes"):
        fit([0.0] * 119, liked=liked)


def test_equal_scores_are_calibrated_all_the_same() -> None:
    fitted = fit(np.ones(200), liked=[True] * 50 + [False] * 150)
    assert fitted.calibrator(np.ones(1)) == pytest.approx(0.25, abs=0.01)
