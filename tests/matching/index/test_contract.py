"""What every adapter of the index keeps, whatever engine it has."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from matching import spaces
from matching.index.base import Circle, Entry, Filter, Hit, Index
from matching.index.exact import ExactIndex
from matching.index.pgvector import PgvectorIndex
from tests.matching.index.people import (
    OTHER_CLIENT,
    WANTED,
    crowd,
    query,
    store,
    vector,
    woman,
)

RNG = np.random.default_rng(3)
QUERY = query(RNG)
Put = Callable[[Sequence[Entry]], Index]


@pytest.fixture(params=["exact", "pgvector"])
def put(request: pytest.FixtureRequest, db: None) -> Put:
    """Makes people findable in an index, and returns it."""
    is_exact = request.param == "exact"
    index: Index = ExactIndex() if is_exact else PgvectorIndex(spaces.active_space())

    def fill(entries: Sequence[Entry]) -> Index:
        if not is_exact:
            store(entries)
        index.upsert(entries)
        return index

    return fill


def ids(hits: Sequence[Hit]) -> list[uuid.UUID]:
    return [hit.id for hit in hits]


def distance(entry: Entry) -> float:
    return -float(entry.vector.astype(np.float64) @ QUERY.astype(np.float64))


def test_the_nearest_come_first_with_their_true_distance(put: Put) -> None:
    entries = [woman(RNG) for _ in range(30)]
    hits = put(entries).search(QUERY, WANTED, k=10)
    expected = sorted(entries, key=distance)[:10]
    assert ids(hits) == [entry.id for entry in expected]
    assert [hit.distance for hit in hits] == pytest.approx(
        [distance(entry) for entry in expected], abs=1e-4
    )


def test_equal_people_go_by_id(put: Put) -> None:
    one = woman(RNG)
    twins = [replace(one, id=uuid.UUID(int=n)) for n in (7, 3, 5)]
    hits = put(twins).search(QUERY, WANTED, k=3)
    assert ids(hits) == [uuid.UUID(int=n) for n in (3, 5, 7)]


def test_who_is_put_again_is_found_as_they_are_now(put: Put) -> None:
    one, other = woman(RNG), woman(RNG)
    index = put([one, other])
    moved = np.zeros(644)
    moved[:] = QUERY[:644] * (3 / np.linalg.norm(QUERY))
    put([replace(one, vector=vector(moved))])
    hits = index.search(QUERY, WANTED, k=5)
    assert ids(hits) == [one.id, other.id]
    assert index.count(WANTED) == 2


def test_who_is_deleted_is_found_no_more(put: Put) -> None:
    one, other = woman(RNG), woman(RNG)
    index = put([one, other])
    index.delete([one.id, uuid.uuid4()])
    assert ids(index.search(QUERY, WANTED, k=5)) == [other.id]
    assert index.count(WANTED) == 1


def test_excluded_people_make_room_for_others(put: Put) -> None:
    entries = [woman(RNG) for _ in range(12)]
    index = put(entries)
    first = ids(index.search(QUERY, WANTED, k=5))
    rest = ids(index.search(QUERY, WANTED, k=5, exclude=first))
    assert len(rest) == 5
    assert not set(first) & set(rest)
    assert index.count(WANTED, exclude=[*first, uuid.uuid4()]) == 7
    assert index.count(WANTED, exclude=[]) == 12


@pytest.mark.parametrize(
    ("other", "wanted"),
    [
        ({"client": OTHER_CLIENT}, WANTED),
        ({"gender": "man"}, WANTED),
        ({"seeking": ("woman",)}, WANTED),
        ({"sought_age_min": 31}, WANTED),
        ({"sought_age_max": 29}, WANTED),
        (
            {"birth_date": dt.date(1990, 1, 1)},
            replace(WANTED, born_after=dt.date(1990, 1, 1)),
        ),
        (
            {"birth_date": dt.date(1995, 6, 2)},
            replace(WANTED, born_until=dt.date(1995, 6, 1)),
        ),
        ({"smokes": True}, replace(WANTED, smokes=False)),
        ({"presence": {"headwear.hat": 0.6}}, replace(WANTED, never=("headwear.hat",))),
    ],
)
def test_whoever_fails_one_rule_is_not_found(
    put: Put, other: dict[str, Any], wanted: Filter
) -> None:
    passes = woman(RNG)
    index = put([passes, woman(RNG, **other)])
    assert ids(index.search(QUERY, wanted, k=5)) == [passes.id]
    assert index.count(wanted) == 1


def test_what_is_asked_for_must_be_known(put: Put) -> None:
    shown = woman(RNG, smokes=True, presence={"headwear.hat": 0.5})
    index = put([shown, woman(RNG, presence={"headwear.hat": 0.4}), woman(RNG)])
    for wanted in (
        replace(WANTED, must=("headwear.hat",)),
        replace(WANTED, smokes=True),
    ):
        assert ids(index.search(QUERY, wanted, k=5)) == [shown.id]


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((-17.0, 179.9), (-17.0, -179.9), 22),  # across the antimeridian
        ((-17.0, -179.9), (-17.0, 179.9), 22),
        ((89.9, 0.0), (89.9, 180.0), 23),  # across the pole
        ((0.0, 0.0), (0.0, 180.0), 20_020),  # half way around
    ],
)
def test_a_circle_reaches_around_the_edges_of_the_map(
    put: Put, here: tuple[float, float], there: tuple[float, float], km: float
) -> None:
    one = woman(RNG, latitude=there[0], longitude=there[1])
    index = put([one, woman(RNG)])
    near = replace(WANTED, circle=Circle(*here, radius_km=km))
    assert ids(index.search(QUERY, near, k=5)) == [one.id]
    assert index.count(replace(WANTED, circle=Circle(*here, radius_km=km * 0.9))) == 0


def test_several_genders_are_one_list(put: Put) -> None:
    entries = [woman(RNG, gender=gender) for gender in ("woman", "man") * 6]
    wanted = replace(WANTED, genders=("man", "woman"))
    hits = put(entries).search(QUERY, wanted, k=8)
    assert ids(hits) == [entry.id for entry in sorted(entries, key=distance)[:8]]


def test_no_gender_is_nobody(put: Put) -> None:
    index = put(crowd(5))
    nobody = replace(WANTED, genders=())
    assert index.search(QUERY, nobody, k=5) == []
    assert index.count(nobody) == 0
