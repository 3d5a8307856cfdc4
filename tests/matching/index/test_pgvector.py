"""What only the adapter in Postgres promises: copies that are true, lists, pages."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from matching import selectors, spaces
from matching.features import WIDTH
from matching.index import lists, pgvector
from matching.index.base import Effort
from matching.index.pgvector import Estimate, PgvectorIndex
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.selectors import Filters, Found
from profiles.models import Gender, Photo, Profile
from tests.matching.index.people import CLIENT, WANTED, query, store, woman
from tests.matching.index.rows import build, put

RNG = np.random.default_rng(11)


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
    monkeypatch.setattr(pgvector, "READ_POWER", 0)
    monkeypatch.setattr(pgvector, "LEAST_FETCHED", 100)
    late = woman(RNG)
    store([late])
    index.upsert([late])
    asked = np.zeros(768, dtype=np.float32)
    asked[:WIDTH] = late.vector[:WIDTH]
    (hit,) = index.search(asked, WANTED, k=1)
    assert hit.id == late.id
    assert not hit.is_exact


@pytest.mark.usefixtures("by_lists")
def test_when_all_that_lists_bring_are_excluded_postgres_is_told_of_them(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 300)
    monkeypatch.setattr(PgvectorIndex, "_estimate", lambda *_: Estimate(300, 300, 35))
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    nearest = [hit.id for hit in best[:200]]
    hits = index.search(asked, WANTED, k=20, exclude=nearest)
    assert not any(hit.is_exact for hit in hits)
    assert len(hits) == 20
    assert not {hit.id for hit in hits} & set(nearest)
    hits = index.search(asked, WANTED, k=20, exclude=[hit.id for hit in best[:270]])
    assert [hit.id for hit in hits] == [hit.id for hit in best[270:290]]


@pytest.mark.usefixtures("by_lists")
def test_of_very_many_postgres_is_told_only_if_they_are_the_nearest(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 300)
    monkeypatch.setattr(pgvector, "MANY_EXCLUDED", 40)
    monkeypatch.setattr(PgvectorIndex, "_estimate", lambda *_: Estimate(300, 300, 35))
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    for excluded, told in (best[-60:], [False]), (best[:60], [False, True]):
        out = {hit.id for hit in excluded}
        with CaptureQueriesContext(connection) as searched:
            hits = index.search(asked, WANTED, k=5, exclude=out)
        asking = [one["sql"] for one in searched if "WITH near" in one["sql"]]
        assert ["NOT IN" in sql for sql in asking] == told
        assert len(hits) == 5
        assert not any(hit.is_exact or hit.id in out for hit in hits)


@pytest.mark.usefixtures("by_lists")
def test_lists_in_which_too_few_passed_are_not_believed(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(index, 300)
    whole = pgvector._rows_in_lists
    few = lambda *asked: whole(*asked)[:100]  # noqa: E731
    monkeypatch.setattr(pgvector, "_rows_in_lists", few)
    monkeypatch.setattr(pgvector, "LEAST_FETCHED", 250)
    many = Estimate(300, 300, 35)
    monkeypatch.setattr(PgvectorIndex, "_estimate", lambda *_: many)
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
    many = Estimate(300, 300, 35)
    monkeypatch.setattr(PgvectorIndex, "_estimate", lambda *_: many)
    put(index, 300)
    asked = query(RNG)
    best = index.search(asked, WANTED, k=300, effort=Effort.EXACT)
    nearest = [hit.id for hit in best[:50]]
    with CaptureQueriesContext(connection) as told:
        hits = index.search(asked, WANTED, k=10, exclude=nearest)
    assert [hit.id for hit in hits] == [hit.id for hit in best[50:60]]
    scans = [one["sql"] for one in told if "profile_id, (vector" in one["sql"]]
    assert ["NOT IN" in scan for scan in scans] == [True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("by_lists")
def test_settings_reach_a_search_and_end_with_it_outside_of_transactions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = PgvectorIndex(spaces.active_space())
    put(index, 200)
    # More than are in any one list, as many as are read by default.
    monkeypatch.setattr(pgvector, "READ_POWER", 0)
    monkeypatch.setattr(pgvector, "LEAST_FETCHED", 100)
    assert not index.search(query(RNG), WANTED, k=1)[0].is_exact
    for name, value in ("enable_sort", "on"), ("ivfflat.probes", "1"):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting(%s)", [name])
            assert cursor.fetchone() == (value,)
    PersonVector.objects.all().delete()
    lists.drop_unused()


# Pages of people ----------------------------------------------------------------------


@pytest.fixture
def everybody(index: PgvectorIndex) -> list[uuid.UUID]:
    """Two hundred women whom a man may find, with a photo each."""
    people = [woman(RNG) for _ in range(200)]
    store(people)
    Profile.objects.update(consented_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    Photo.objects.bulk_create(
        Photo(
            owner_id=one.id,
            purpose=Photo.Purpose.PROFILE,
            status=Photo.Status.APPROVED,
            sha256=uuid.uuid4().hex,
            dhash="0" * 64,
            width=1,
            height=1,
        )
        for one in people
    )
    index.upsert(people)
    return [one.id for one in people]


@pytest.fixture
def viewer(everybody: list[uuid.UUID]) -> Profile:
    return Profile.objects.create(
        client_id=CLIENT,
        birth_date=dt.date(1996, 1, 1),
        gender=Gender.MAN,
        seeking=[Gender.WOMAN],
    )


TASTE = RNG.normal(size=WIDTH)


def page_of(viewer: Profile, limit: int, *before: uuid.UUID) -> list[Found]:
    return selectors.candidates(
        viewer,
        space=spaces.active_space(),
        query=TASTE,
        filters=Filters(exclude=frozenset(before)),
        limit=limit,
    )


@pytest.mark.usefixtures("by_lists")
@pytest.mark.parametrize("limit", [7, 40])
def test_pages_by_lists_lose_nobody_and_never_overlap(
    viewer: Profile,
    everybody: list[uuid.UUID],
    limit: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pgvector, "READ_POWER", 0.5)
    monkeypatch.setattr(pgvector, "FETCH_FACTOR", 1)
    build()
    pages: list[list[Found]] = []
    shown: list[uuid.UUID] = []
    while page := page_of(viewer, limit, *shown):
        pages.append(page)
        shown += [found.profile_id for found in page]
    assert not pages[0][0].is_exact
    assert pages[-1][0].is_exact
    assert all(len(page) == limit for page in pages[:-1])
    assert sorted(shown) == sorted(everybody)


@pytest.mark.usefixtures("by_lists")
def test_who_left_a_moment_ago_makes_room_on_the_page(
    viewer: Profile, everybody: list[uuid.UUID]
) -> None:
    build()
    first = [found.profile_id for found in page_of(viewer, 10)]
    Profile.objects.filter(pk__in=first).update(status=Profile.Status.PAUSED)
    second = [found.profile_id for found in page_of(viewer, 10)]
    assert len(second) == 10
    assert not set(first) & set(second)


def test_nobody_is_shown_to_somebody_who_is_blocked(viewer: Profile) -> None:
    viewer.status = Profile.Status.BLOCKED
    assert page_of(viewer, 10) == []


def test_the_copies_are_of_every_space(index: PgvectorIndex) -> None:
    other = neutral_space(model="another", projection="identity")
    space = Space.objects.create(version=other.version, content=other.to_dict())
    one = woman(RNG)
    store([one])
    for each in (index, PgvectorIndex(space)):
        each.upsert([one])
    Profile.objects.filter(pk=one.id).update(gender="man")
    assert set(PersonVector.objects.values_list("gender", flat=True)) == {"man"}
