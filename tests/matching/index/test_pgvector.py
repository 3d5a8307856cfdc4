"""What only the adapter in Postgres promises: copies that are true, lists, pages."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from matching import spaces
from matching.features import WIDTH
from matching.index import costs, lists, pgvector, prefetch
from matching.index.base import Circle, Effort
from matching.index.costs import Estimate
from matching.index.pgvector import PgvectorIndex
from matching.models import PersonVector, Space
from matching.population import neutral_space
from profiles.models import Profile
from tests.matching.index.people import WANTED, query, store, woman
from tests.matching.index.rows import believed, near, put

RNG = np.random.default_rng(11)
ALL = Estimate(people=300, passing=300, lists=35, entries=300)


@pytest.fixture
def known(
    index: PgvectorIndex, by_lists: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three hundred women in lists, all of whom the estimate knows."""
    put(index, 300)
    monkeypatch.setattr(PgvectorIndex, "_parts", believed(ALL))


@pytest.mark.parametrize(
    ("changed", "passes"),
    [
        ({"gender": "man"}, False),
        ({"seeking": ["woman"]}, False),
        ({"sought_age_min": 40}, False),
        ({"birth_date": dt.date(1890, 1, 1)}, False),
        ({"smokes": True, "latitude": 1.0, "longitude": 1.0}, True),
    ],
)
def test_a_change_of_the_profile_counts_in_the_same_transaction(
    index: PgvectorIndex, changed: dict[str, Any], passes: bool
) -> None:
    one = woman(RNG)
    store([one])
    index.upsert([one])
    Profile.objects.filter(pk=one.id).update(**changed)
    assert index.count(WANTED) == passes
    row = PersonVector.objects.get(profile=one.id)
    assert {name: getattr(row, name) for name in changed} == changed


def test_a_person_is_in_the_lists_as_soon_as_they_are_put(
    index: PgvectorIndex, by_lists: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 200)
    # Of vectors drawn at random a sketch says little: all lists, and half of who is in.
    monkeypatch.setattr(costs, "READ_POWER", 0)
    monkeypatch.setattr(prefetch, "LEAST_FETCHED", 100)
    late = woman(RNG)
    store([late])
    index.upsert([late])
    asked = np.zeros(768, dtype=np.float32)
    asked[:WIDTH] = late.vector[:WIDTH]
    (hit,) = index.search(asked, WANTED, k=1)
    assert hit.id == late.id
    assert not hit.is_exact


@pytest.mark.usefixtures("known")
def test_when_all_that_lists_bring_are_excluded_postgres_is_told_of_them(
    index: PgvectorIndex,
) -> None:
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    nearest = [hit.id for hit in best[:200]]
    hits = index.search(asked, WANTED, k=20, exclude=nearest)
    assert not any(hit.is_exact for hit in hits)
    assert len(hits) == 20
    assert not {hit.id for hit in hits} & set(nearest)
    hits = index.search(asked, WANTED, k=20, exclude=[hit.id for hit in best[:270]])
    assert [hit.id for hit in hits] == [hit.id for hit in best[270:290]]


@pytest.mark.usefixtures("known")
def test_behind_many_who_were_seen_more_are_scored(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "EXCLUDED_PER_FETCHED", 2)
    asked = query(RNG)
    best = index.search(asked, WANTED, k=60, effort=Effort.EXACT)
    with CaptureQueriesContext(connection) as searched:
        index.search(asked, WANTED, k=1, exclude=[hit.id for hit in best])
    (sql,) = near(searched)
    assert "LIMIT 33)" in sql


@pytest.mark.usefixtures("known")
def test_of_very_many_postgres_is_told_only_if_they_are_the_nearest(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetch, "MANY_EXCLUDED", 40)
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    for excluded, told in (best[-60:], [False]), (best[:60], [False, True]):
        out = {hit.id for hit in excluded}
        with CaptureQueriesContext(connection) as searched:
            hits = index.search(asked, WANTED, k=5, exclude=out)
        assert ["NOT IN" in sql for sql in near(searched)] == told
        assert len(hits) == 5
        assert not any(hit.is_exact or hit.id in out for hit in hits)


@pytest.mark.usefixtures("known")
def test_lists_in_which_too_few_passed_are_not_believed(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = prefetch._rows_in_lists
    few = lambda asked: [rows[:100] for rows in whole(asked)]  # noqa: E731
    monkeypatch.setattr(prefetch, "_rows_in_lists", few)
    monkeypatch.setattr(prefetch, "LEAST_FETCHED", 250)
    asked = query(RNG)
    hits = index.search(asked, WANTED, k=3)
    assert all(hit.is_exact for hit in hits)
    assert hits == index.search(asked, WANTED, k=3, effort=Effort.EXACT)


def test_postgres_is_told_at_once_of_many_who_were_seen(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 1)
    monkeypatch.setattr(pgvector, "MANY_EXCLUDED", 40)
    monkeypatch.setattr(pgvector, "MANY_PASSING", 1)
    monkeypatch.setattr(PgvectorIndex, "_parts", believed(ALL))
    put(index, 300)
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    nearest = [hit.id for hit in best[:50]]
    with CaptureQueriesContext(connection) as told:
        hits = index.search(asked, WANTED, k=10, exclude=nearest)
    assert [hit.id for hit in hits] == [hit.id for hit in best[50:60]]
    scans = [one["sql"] for one in told if "profile_id, (vector" in one["sql"]]
    assert ["NOT IN" in scan for scan in scans] == [True]


@pytest.mark.usefixtures("by_sketches")
def test_all_that_sketches_need_of_those_who_pass_lies_in_one_index(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 300)
    monkeypatch.setattr(PgvectorIndex, "_parts", believed(ALL))
    place = Circle(latitude=51.5, longitude=-0.1, radius_km=20_000)
    wanted = replace(WANTED, circle=place, smokes=False)
    with CaptureQueriesContext(connection) as searched:
        index.search(query(RNG), wanted, k=5, exclude=[uuid.uuid4()])
    (sql,) = near(searched)
    with connection.cursor() as cursor:
        cursor.execute(
            "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"
        )
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisunique"
            " AND indrelid = 'matching_personvector'::regclass"
        )
        for (other,) in cursor.fetchall():
            if other != "person_near_man":
                cursor.execute(f"DROP INDEX {other}")
        cursor.execute("EXPLAIN " + sql[sql.index("WITH near") :])
        plan = "\n".join(row for (row,) in cursor.fetchall())
    assert "Index Only Scan using person_near_man" in plan


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("by_lists")
def test_settings_reach_a_search_and_end_with_it_outside_of_transactions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = PgvectorIndex(spaces.active_space())
    put(index, 200)
    # More than are in any one list, as many as are read by default.
    monkeypatch.setattr(costs, "READ_POWER", 0)
    monkeypatch.setattr(prefetch, "LEAST_FETCHED", 100)
    before = {"enable_sort": "on", "jit": "on", "ivfflat.probes": "1"}
    with connection.cursor() as cursor, CaptureQueriesContext(connection) as searched:
        cursor.execute("SET jit = on")
        assert not index.search(query(RNG), WANTED, k=1)[0].is_exact
        for name, value in before.items():
            cursor.execute("SELECT current_setting(%s)", [name])
            assert cursor.fetchone() == (value,)
        cursor.execute("RESET jit")
    (sql,) = near(searched)
    assert all(f"set_config('{name}'" in sql for name in before)
    PersonVector.objects.all().delete()
    lists.drop_unused()


def test_the_copies_are_of_every_space(index: PgvectorIndex) -> None:
    other = neutral_space(model="another", projection="identity")
    space = Space.objects.create(version=other.version, content=other.to_dict())
    one = woman(RNG)
    store([one])
    for each in (index, PgvectorIndex(space)):
        each.upsert([one])
    Profile.objects.filter(pk=one.id).update(gender="man")
    assert set(PersonVector.objects.values_list("gender", flat=True)) == {"man"}
