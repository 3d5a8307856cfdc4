from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.ranking.base import Candidate, by_score
from matching.ranking.newcomers import Newcomers
from tests.matching.ranking.people import person

UNLIMITED = Newcomers(weight=1e9, days=14.0, impressions=100)
MILD = Newcomers(weight=2.0, days=14.0, impressions=100)


def people(new: Sequence[int], count: int) -> list[Candidate]:
    """So many people, those at the places `new` are newcomers."""
    return [
        person(f"p{i:03}", age_days=1.0 if i in new else 400.0) for i in range(count)
    ]


def test_the_last_of_ten_gets_the_place_kept_for_newcomers() -> None:
    given, scores = people([19], 20), np.arange(20.0)[::-1] / 10
    lifts = MILD(given, scores)
    order = by_score(given, scores + lifts)
    assert order.index(19) == 9  # behind nine others
    assert lifts[19] == pytest.approx(scores[9])
    assert np.count_nonzero(lifts) == 1


def test_a_newcomer_who_is_high_enough_is_not_lifted() -> None:
    scores = np.arange(20.0)[::-1]
    assert not MILD(people([3], 20), scores).any()


def test_there_are_no_more_kept_places_than_one_in_ten() -> None:
    lifts = UNLIMITED(people([17, 18, 19], 20), np.arange(20.0)[::-1])
    # 17 others leave one such place: the other newcomers stay where they are.
    assert np.flatnonzero(lifts).tolist() == [17]


@pytest.mark.parametrize(
    "known",
    [
        {"age_days": 14.0},
        {"age_days": 1.0, "impressions": 100},
        {},
    ],
)
def test_who_is_here_for_long_or_was_seen_often_is_owed_nothing(
    known: dict[str, float],
) -> None:
    given = [*people([], 19), person("ann", **known)]
    assert not UNLIMITED(given, np.arange(20.0)[::-1]).any()


def test_nobody_is_lifted_by_more_than_the_weight() -> None:
    scores = np.append(np.full(19, 5.0), 0.0)
    lifts = MILD(people([19], 20), scores)
    assert lifts[19] == 2.0


@given(
    new=st.sets(st.integers(0, 39)),
    scores=st.permutations([float(i) for i in range(40)]),
)
def test_of_every_ten_first_places_one_is_a_newcomers(
    new: set[int], scores: list[float]
) -> None:
    given = people(sorted(new), 40)
    before = np.array(scores)
    order = by_score(given, before + UNLIMITED(given, before))
    for kept in range(1, min(len(new), 4) + 1):
        first = order[: 10 * kept]
        assert len(new.intersection(first)) >= kept


@given(scores=st.lists(st.floats(-9, 9), min_size=1, max_size=40), data=st.data())
def test_nobody_is_ever_lowered(scores: list[float], data: st.DataObject) -> None:
    new = data.draw(st.sets(st.integers(0, len(scores) - 1)))
    lifts = MILD(people(sorted(new), len(scores)), np.array(scores))
    assert (lifts >= 0).all()
    assert set(np.flatnonzero(lifts)) <= new
