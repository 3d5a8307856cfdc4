"""How many people can be found and what they show; what is kept of it, and how long."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from redis.exceptions import ConnectionError as NoRedisError
from rest_framework.test import APIClient

from matching import cache, facets, spaces
from matching.selectors import Filters
from profiles import services
from profiles.models import Gender, Profile
from tests.conftest import MakePerson
from tests.matching.findable import index

GLASSES = "eyewear.glasses"


@pytest.fixture
def crowd(make_person: MakePerson) -> list[Profile]:
    """Ten people in the index: four wear glasses, of one nothing is known."""
    everybody = [make_person() for _ in range(10)]
    space = spaces.active_space()
    for i, person in enumerate(everybody):
        known = {GLASSES: 0.9 if i < 4 else 0.1} if i < 9 else {}
        index(person, space, **known)
    return everybody


@pytest.mark.usefixtures("crowd")
def test_it_counts_people_and_what_they_show(alice: Profile) -> None:
    found = facets.facets(alice, Filters())
    assert found == facets.Facets(people=10, values={GLASSES: 4}, estimated=False)


def test_it_counts_only_who_passes_the_filters(
    alice: Profile, crowd: list[Profile]
) -> None:
    found = facets.facets(alice, Filters(exclude=frozenset({crowd[0].pk})))
    assert (found.people, found.values) == (9, {GLASSES: 3})
    assert facets.facets(alice, Filters(genders=(Gender.MAN,))).people == 0


def test_nobody_counts_themselves_or_whom_they_keep_apart_from(
    alice: Profile, crowd: list[Profile]
) -> None:
    index(alice, spaces.active_space(), **{GLASSES: 0.9})
    services.update_profile(alice, seeking=[*Gender.values])
    crowd[0].avoided.add(alice)
    alice.avoided.add(crowd[9])
    found = facets.facets(alice, Filters(exclude=frozenset({crowd[1].pk})))
    assert (found.people, found.values) == (7, {GLASSES: 2})


def test_who_has_left_this_moment_is_not_counted_among_few(
    alice: Profile, crowd: list[Profile]
) -> None:
    """Before a worker has heard of it, so that nobody is told what they look like."""
    Profile.objects.filter(pk=crowd[0].pk).update(consented_at=None)
    found = facets.facets(alice, Filters())
    assert (found.people, found.values) == (9, {GLASSES: 3})


def test_a_blocked_person_counts_nobody(alice: Profile, crowd: list[Profile]) -> None:
    services.block_profile(alice)
    alice.refresh_from_db()
    assert facets.facets(alice, Filters()) == facets.Facets(0, {}, estimated=False)


def test_many_people_are_counted_in_a_fair_sample(
    alice: Profile, make_person: MakePerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "SAMPLE_PEOPLE", 100)
    space = spaces.active_space()
    for i in range(200):
        index(make_person(), space, **{GLASSES: float(i % 2)})
    found = facets.facets(alice, Filters())
    assert (found.people, found.estimated) == (200, True)
    assert 50 < found.values[GLASSES] < 150  # 100 in truth; five deviations about it
    assert found.values[GLASSES] % 2 == 0  # half were looked at, each counts for two


def test_a_count_is_kept_until_its_owner_changes(
    alice: Profile, crowd: list[Profile]
) -> None:
    before = facets.facets(alice, Filters())
    crowd[0].vectors.all().delete()
    assert facets.facets(alice, Filters()) == before
    cache.forget(facets.kept_for(alice.pk))
    assert facets.facets(alice, Filters()).people == before.people - 1


@pytest.mark.usefixtures("crowd")
def test_other_filters_are_counted_apart(alice: Profile) -> None:
    assert facets.facets(alice, Filters()).people == 10
    assert facets.facets(alice, Filters(must=(GLASSES,))).people == 4


def test_what_is_kept_is_too_old_at_last() -> None:
    owner = str(uuid.uuid4())
    cache.keep(owner, "name", {"people": 3}, seconds=60)
    assert cache.kept(owner, "name") == {"people": 3}
    assert cache.kept(owner, "other name") is None
    cache.keep(owner, "old", 1, seconds=0)
    assert cache.kept(owner, "old") is None


@pytest.mark.usefixtures("crowd")
def test_without_redis_everything_is_counted_anew(
    alice: Profile, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def no_client() -> Callable[[], None]:
        raise NoRedisError

    monkeypatch.setattr(cache, "_client", no_client)
    assert facets.facets(alice, Filters()).people == 10
    cache.forget(facets.kept_for(alice.pk))
    assert "Redis does not answer" in caplog.text


@pytest.mark.usefixtures("crowd")
def test_the_door_counts_for_the_person_that_asks(
    api_as: Callable[[Profile], APIClient], alice: Profile
) -> None:
    body = {"filters": {"must": [GLASSES]}}
    answer = api_as(alice).post("/v1/search/facets", body, format="json")
    assert answer.status_code == 200, answer.json()
    assert answer.json() == {"people": 4, "values": {GLASSES: 4}, "estimated": False}


@pytest.mark.usefixtures("crowd")
@pytest.mark.django_db(transaction=True)
def test_what_a_person_declares_changes_their_counts_at_once(alice: Profile) -> None:
    assert facets.facets(alice, Filters()).people == 10
    services.update_profile(alice, sought_age_min=40)
    alice.refresh_from_db()
    assert facets.facets(alice, Filters()).people == 0
