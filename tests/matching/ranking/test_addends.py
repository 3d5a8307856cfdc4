"""The stages that look at one person only: reciprocity, recency, exposure, chance."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.features import WIDTH
from matching.preference import BayesianPreference
from matching.ranking.base import Candidate
from matching.ranking.exploration import Exploration, draw
from matching.ranking.exposure import Exposure
from matching.ranking.recency import Recency
from matching.ranking.reciprocity import Reciprocity
from tests.matching.ranking.people import crowd, person, zeros

LOG_ODDS = st.floats(-20, 20)
POSITIVE = st.floats(0.01, 100)


# Reciprocity --------------------------------------------------------------------------


@given(weight=POSITIVE, one=LOG_ODDS, other=LOG_ODDS)
def test_being_likelier_to_like_back_never_lowers_a_score(
    weight: float, one: float, other: float
) -> None:
    less, more = sorted([one, other])
    people = [person("less", liked_back=less), person("more", liked_back=more)]
    gained = Reciprocity(weight)(people, zeros(people))
    assert gained[0] <= gained[1]


@given(mine=LOG_ODDS, theirs=LOG_ODDS)
def test_with_a_weight_of_one_the_odds_of_both_are_multiplied(
    mine: float, theirs: float
) -> None:
    people = [person("ann", liked_back=theirs)]
    score = mine + Reciprocity(1.0)(people, np.array([mine]))[0]
    assert math.exp(score) == pytest.approx(math.exp(mine) * math.exp(theirs))


def test_an_unknown_taste_is_neither_an_advantage_nor_a_penalty() -> None:
    people = [
        person("shy", liked_back=-3.0),
        person("keen", liked_back=1.0),
        person("unknown"),
    ]
    assert Reciprocity(0.5)(people, zeros(people)).tolist() == [-1.5, 0.5, -0.5]


def test_where_nobodys_taste_is_known_nothing_is_added() -> None:
    people = [person("ann"), person("bob")]
    assert Reciprocity(1.0)(people, zeros(people)).tolist() == [0.0, 0.0]


# Recency ------------------------------------------------------------------------------


def test_activity_decays_by_half_in_its_half_life() -> None:
    people = [person(str(days), inactive_days=days) for days in (0.0, 7.0, 14.0)]
    gained = Recency(0.5, half_life_days=7.0)(people, zeros(people))
    assert gained.tolist() == [0.5, 0.25, 0.125]


def test_somebody_whose_activity_is_unknown_gains_nothing_by_it() -> None:
    people = [person("ann")]
    assert Recency(0.5, half_life_days=7.0)(people, zeros(people)).tolist() == [0.0]


def test_a_clock_that_is_ahead_gains_no_more_than_being_here_now() -> None:
    people = [person("ann", inactive_days=-30.0)]
    assert Recency(0.5, half_life_days=7.0)(people, zeros(people)).tolist() == [0.5]


@given(weight=POSITIVE, half_life=POSITIVE, one=POSITIVE, other=POSITIVE)
def test_having_been_away_longer_never_raises_a_score(
    weight: float, half_life: float, one: float, other: float
) -> None:
    soon, late = sorted([one, other])
    people = [person("soon", inactive_days=soon), person("late", inactive_days=late)]
    gained = Recency(weight, half_life_days=half_life)(people, zeros(people))
    assert weight >= gained[0] >= gained[1] >= 0


# Exposure -----------------------------------------------------------------------------


def test_below_the_cap_popularity_costs_nothing() -> None:
    people = [person(str(likes), expected_likes=likes) for likes in (0.0, 4.0, 5.0)]
    assert Exposure(1.0, cap=5.0)(people, zeros(people)).tolist() == [0.0] * 3


@given(likes=st.floats(5.0, 1e6), weight=POSITIVE)
def test_above_the_cap_the_odds_are_divided_by_the_excess(
    likes: float, weight: float
) -> None:
    people = [person("ann", expected_likes=likes)]
    (gained,) = Exposure(weight, cap=5.0)(people, zeros(people))
    assert gained == pytest.approx(-weight * math.log(likes / 5.0))


@given(weight=POSITIVE, cap=POSITIVE, one=POSITIVE, other=POSITIVE)
def test_expecting_more_likes_never_raises_a_score(
    weight: float, cap: float, one: float, other: float
) -> None:
    few, many = sorted([one, other])
    people = [person("few", expected_likes=few), person("many", expected_likes=many)]
    gained = Exposure(weight, cap=cap)(people, zeros(people))
    assert 0 >= gained[0] >= gained[1]


# Exploration --------------------------------------------------------------------------


def taste() -> BayesianPreference:
    return BayesianPreference.fit(np.eye(1, WIDTH), liked=[True])


def explore(people: list[Candidate], *, seed: str, weight: float = 1.0) -> list[float]:
    stage = Exploration(weight, taste(), seed)
    return [float(gained) for gained in stage(people, zeros(people))]


def test_the_same_seed_draws_the_same_for_a_person_whoever_else_is_there() -> None:
    people = crowd(np.random.default_rng(0), 20)
    drawn = explore(people, seed="a page")
    assert explore(people, seed="a page") == drawn
    assert explore(people[5:6], seed="a page") == pytest.approx(drawn[5:6])
    assert explore(people, seed="another") != drawn


def test_a_draw_is_as_wide_as_the_posterior() -> None:
    (known,) = crowd(np.random.default_rng(0), 1)
    people = [Candidate(f"p{n}", known.features) for n in range(2000)]
    drawn = np.array(explore(people, seed="s"))
    deviation = float(np.sqrt(taste().variance(known.features[None])[0]))
    assert drawn.mean() == pytest.approx(0.0, abs=0.08 * deviation)
    assert drawn.std() == pytest.approx(deviation, rel=0.05)
    assert explore(people[:9], seed="s", weight=0.5) == pytest.approx(drawn[:9] / 2)


def test_of_whom_nothing_is_unknown_nothing_is_drawn() -> None:
    assert explore([person("blank")], seed="s") == [0.0]


@given(key=st.text())
def test_every_key_draws_a_finite_number(key: str) -> None:
    assert math.isfinite(draw(key))


def test_a_draw_is_what_the_documentation_computes() -> None:
    # SHA-256("s:ann") begins with these 13 digits, 52 bits.
    share = (0x877C913225BD0 + 0.5) / 16**13
    assert draw("s:ann") == NormalDist().inv_cdf(share)
