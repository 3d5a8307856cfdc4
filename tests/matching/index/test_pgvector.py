"""What only the adapter in Postgres promises: copies that are true, lists, pages."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from matching import selectors, services, spaces
from matching.features import WIDTH
from matching.index import lists, pgvector
from matching.index.base import Effort
from matching.index.pgvector import Estimate, PgvectorIndex
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.selectors import Filters, Found
from profiles.models import Gender, Photo, Profile
from tests.matching.index.people import CLIENT, WANTED, query, store, woman

RNG = np.random.default_rng(11)
INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass"


@pytest.fixture
def index(db: None) -> PgvectorIndex:
    return PgvectorIndex(spaces.active_space())


@pytest.fixture
def by_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search that can goes by lists, however few people there are."""
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 1)
    monkeypatch.setattr(lists, "LEAST_FITTED", 1)
    monkeypatch.setattr(pgvector, "ROW_COST", 1e9)
    monkeypatch.setattr(pgvector, "LEAST_FETCHED", 1)


def add(index: PgvectorIndex, count: int) -> None:
    """So many women more."""
    people = [woman(RNG) for _ in range(count)]
    store(people)
    index.upsert(people)


def put(index: PgvectorIndex, count: int) -> None:
    """So many women, with lists of them if that is not too few."""
    add(index, count)
    build()


def build() -> list[str]:
    with connection.cursor() as cursor:  # no index is built while checks wait
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return services.build_indexes()


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


def test_lists_are_made_where_many_are_and_dropped_with_its_space(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 20)
    people = [woman(RNG) for _ in range(20)] + [woman(RNG, gender="man")]
    store(people)
    index.upsert(people)
    space = spaces.active_space()
    assert build() == [lists.name_of(space.pk, "woman", "man")]
    assert build() == []
    PersonVector.objects.all().delete()
    assert lists.drop_unused() == [lists.name_of(space.pk, "woman", "man")]


def test_a_build_that_broke_off_is_begun_again(
    index: PgvectorIndex, by_lists: None, capsys: pytest.CaptureFixture[str]
) -> None:
    put(index, 1)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    with connection.cursor() as cursor:  # as a server leaves it that is killed
        cursor.execute(f"ALTER INDEX {name} RENAME TO {name}_unfinished")
        cursor.execute(INVALID, [f"{name}_unfinished"])
    call_command("buildindexes")
    assert name in capsys.readouterr().out
    assert lists._known() == {name: 1}


def test_lists_whose_removal_broke_off_are_not_used_and_made_anew(
    index: PgvectorIndex, by_lists: None
) -> None:
    put(index, 200)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    with connection.cursor() as cursor:
        cursor.execute(INVALID, [name])
    assert index.search(query(RNG), WANTED, k=1)[0].is_exact
    assert build() == [name]
    assert not index.search(query(RNG), WANTED, k=1)[0].is_exact


def test_what_an_older_release_built_is_dropped(index: PgvectorIndex) -> None:
    name = f"personvector_graph_{spaces.active_space().pk}_woman_man"
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            f"CREATE INDEX {name} ON matching_personvector"
            " USING hnsw (sketch halfvec_ip_ops)"
        )
    assert lists.drop_unused() == [name]


@pytest.mark.parametrize(
    ("people", "pages", "fitting"),
    [
        (40_000, 34_000, 400),
        (383_000, 344_000, 1_238),
        (10_000, 344_000, 29),  # one in a hundred of a million
        (100_000_000, 90_000_000, 2_000),
        (1, 0, 1),
    ],
)
def test_there_are_as_many_lists_as_a_sample_of_the_table_fills(
    people: int, pages: int, fitting: int
) -> None:
    assert lists._fitting(people, pages) == fitting


def test_lists_that_a_space_has_outgrown_are_made_anew(
    index: PgvectorIndex, by_lists: None
) -> None:
    put(index, 4)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    assert lists._known() == {name: 4}
    add(index, 11)
    assert build() == []
    add(index, 4)
    assert build() == [name]
    assert lists._known() == {name: 9}


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
