"""Pages by the index: nobody is lost, nobody shown twice, nobody who has left."""

from __future__ import annotations

import datetime as dt
import uuid

import numpy as np
import pytest

from matching import selectors, spaces
from matching.features import WIDTH
from matching.index import costs, prefetch
from matching.index.pgvector import PgvectorIndex
from matching.selectors import Filters, Found
from profiles.models import Gender, Photo, Profile
from tests.matching.index.people import CLIENT, store, woman
from tests.matching.index.rows import build

RNG = np.random.default_rng(17)


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
    monkeypatch.setattr(costs, "READ_POWER", 0.5)
    monkeypatch.setattr(prefetch, "FETCH_FACTOR", 1)
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
