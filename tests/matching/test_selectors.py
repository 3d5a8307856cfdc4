"""Hard filters lose nobody and let nobody through, whatever their shape."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from matching import selectors, spaces
from matching.features import WIDTH
from matching.models import PersonVector, Space
from matching.selectors import Filters
from profiles import services as people
from profiles.models import Client, Gender, Profile
from tests.conftest import MakePerson
from tests.matching.findable import index
from twinby.errors import InvalidError

RNG = np.random.default_rng(7)
QUERY = RNG.normal(size=WIDTH)

MakeFound = Callable[..., Profile]


@pytest.fixture
def space(db: None) -> Space:
    return spaces.active_space()


@pytest.fixture
def add(make_person: MakePerson, space: Space) -> MakeFound:
    """A woman of thirty who seeks women and can be found, unless told otherwise."""

    def make(presence: dict[str, float] | None = None, **fields: Any) -> Profile:
        return index(make_person(**fields), space, **(presence or {}))

    return make


def found(
    viewer: Profile, filters: Filters | None = None, limit: int = 100
) -> list[uuid.UUID]:
    rows = selectors.candidates(
        viewer,
        space=spaces.active_space(),
        query=QUERY,
        filters=filters or Filters(),
        limit=limit,
    )
    return [row.profile_id for row in rows]


def test_the_order_is_that_of_the_inner_product(alice: Profile, add: MakeFound) -> None:
    everybody = [add() for _ in range(30)]
    vectors = {
        row.profile_id: np.asarray(row.vector)[:WIDTH]
        for row in PersonVector.objects.all()
    }
    expected = sorted(vectors, key=lambda pk: -float(vectors[pk] @ QUERY))
    assert found(alice) == expected
    assert len(expected) == len(everybody)


def test_nobody_finds_themselves(alice: Profile, space: Space) -> None:
    index(alice, space)
    assert found(alice) == []


def test_both_must_seek_each_other(alice: Profile, add: MakeFound) -> None:
    both = add()
    add(gender=Gender.MAN)
    add(seeking=[Gender.MAN])
    assert found(alice) == [both.pk]


def test_both_must_be_of_the_age_the_other_seeks(
    make_person: MakePerson, add: MakeFound
) -> None:
    viewer = make_person(sought_age_min=25, sought_age_max=35)
    fits = add(sought_age_min=30, sought_age_max=30)
    add(sought_age_min=31)
    add(birth_date=dt.date(timezone.localdate().year - 40, 1, 1))
    assert found(viewer) == [fits.pk]


def test_the_filters_narrow_ages_and_genders_further(
    make_person: MakePerson, add: MakeFound
) -> None:
    viewer = make_person(seeking=[Gender.WOMAN, Gender.MAN])
    year = timezone.localdate().year
    woman = add(birth_date=dt.date(year - 50, 1, 1))
    man = add(gender=Gender.MAN)
    assert found(viewer, Filters(genders=("man",))) == [man.pk]
    assert found(viewer, Filters(age_min=45)) == [woman.pk]
    assert found(viewer, Filters(age_max=45)) == [man.pk]


@pytest.mark.parametrize(
    "hidden",
    [
        {"status": Profile.Status.PAUSED},
        {"status": Profile.Status.BLOCKED},
        {"consented_at": None},
    ],
)
def test_who_may_not_be_found_is_not(
    alice: Profile, add: MakeFound, hidden: dict[str, Any]
) -> None:
    person = add()
    Profile.objects.filter(pk=person.pk).update(**hidden)
    assert found(alice) == []


def test_who_has_no_published_photo_is_not_found(
    alice: Profile, add: MakeFound
) -> None:
    person = add()
    people.reject(person.photos.get().pk, reason="blurred")
    assert found(alice) == []


def test_people_of_another_client_are_not_found(
    alice: Profile, make_person: MakePerson, space: Space
) -> None:
    other = Client.objects.create(name="other", secret_hash="x")
    index(make_person(client_id=other.pk), space)
    assert found(alice) == []


def test_excluded_people_are_left_out_without_a_short_page(
    alice: Profile, add: MakeFound
) -> None:
    for _ in range(12):
        add()
    first = found(alice, limit=5)
    rest = found(alice, Filters(exclude=frozenset(first)), limit=5)
    assert len(rest) == 5
    assert not set(first) & set(rest)


# Wishes -------------------------------------------------------------------------------


def test_a_must_fails_where_nothing_is_known(alice: Profile, add: MakeFound) -> None:
    wears = add({"eyewear__glasses": 0.5})
    add({"eyewear__glasses": 0.49})
    add()
    assert found(alice, Filters(must=("eyewear.glasses",))) == [wears.pk]


def test_a_never_passes_where_nothing_is_known(alice: Profile, add: MakeFound) -> None:
    add({"headwear__hat": 0.51})
    bare, unknown = add({"headwear__hat": 0.5}), add()
    assert set(found(alice, Filters(never=("headwear.hat",)))) == {bare.pk, unknown.pk}


def test_not_smoking_believes_the_photo_and_the_person(
    alice: Profile, add: MakeFound
) -> None:
    add({"objects__cigarette": 0.9})
    add(smokes=True)
    clean = {add().pk, add(smokes=False).pk}
    assert set(found(alice, Filters(smokes=False))) == clean


# Places -------------------------------------------------------------------------------


def test_a_radius_is_a_great_circle(make_person: MakePerson, add: MakeFound) -> None:
    moscow = make_person(latitude=55.75, longitude=37.62)
    tver = add(latitude=56.86, longitude=35.90)  # 161 km
    add(latitude=59.94, longitude=30.31)  # Saint Petersburg, 633 km
    add()  # nowhere
    assert found(moscow, Filters(radius_km=170)) == [tver.pk]
    assert found(moscow, Filters(radius_km=150)) == []


@pytest.mark.parametrize(
    ("here", "there", "km"),
    [
        ((-17.0, 179.9), (-17.0, -179.9), 22),  # across the antimeridian
        ((-17.0, -179.9), (-17.0, 179.9), 22),
        ((89.9, 0.0), (89.9, 180.0), 23),  # across the pole
        ((0.0, 0.0), (0.0, 180.0), 20_020),  # half way around
    ],
)
def test_a_radius_reaches_around_the_edges_of_the_map(
    make_person: MakePerson,
    add: MakeFound,
    here: tuple[float, float],
    there: tuple[float, float],
    km: float,
) -> None:
    viewer = make_person(latitude=here[0], longitude=here[1])
    person = add(latitude=there[0], longitude=there[1])
    assert found(viewer, Filters(radius_km=km)) == [person.pk]
    assert found(viewer, Filters(radius_km=km * 0.9)) == []


def test_a_radius_without_a_place_is_refused(alice: Profile, space: Space) -> None:
    with pytest.raises(InvalidError, match="place"):
        found(alice, Filters(radius_km=10))


# Against an oracle --------------------------------------------------------------------

AGES, PLACES = (20, 30, 40), ((10.0, 10.0), (10.5, 10.0), (11.0, 12.0))
shapes = st.builds(
    Filters,
    genders=st.sampled_from([(), ("woman",), ("man", "nonbinary")]),
    age_min=st.sampled_from([18, 25, 35]),
    age_max=st.sampled_from([28, 38, 120]),
    radius_km=st.sampled_from([None, 30.0, 120.0, 400.0]),
    must=st.sampled_from([(), ("eyewear.glasses",)]),
    never=st.sampled_from([(), ("headwear.hat",)]),
    smokes=st.sampled_from([None, False, True]),
)


class TestAgainstTheOracle(TestCase):
    """The same answer as a plain loop over everybody, page by page."""

    viewer: Profile
    everybody: list[Profile]

    @classmethod
    def setUpTestData(cls) -> None:
        client, _ = people.create_client("oracle")
        space = spaces.active_space()
        year = timezone.localdate().year

        def person(number: int, age: int, gender: str, place: int) -> Profile:
            return people.create_profile(
                client_id=client.pk,
                consent=True,
                birth_date=dt.date(year - age, 1, 1),
                gender=gender,
                seeking=list(Gender),
                latitude=PLACES[place][0],
                longitude=PLACES[place][1],
                smokes=(None, True, False)[number % 3],
            )

        cls.viewer = person(0, 30, "woman", 0)
        mixed = itertools.product(AGES, Gender.values, range(3))
        cls.everybody = [
            index(
                person(number, *kind),
                space,
                eyewear__glasses=number % 5 / 4,
                headwear__hat=number % 7 / 6,
                objects__cigarette=number % 4 / 3,
            )
            for number, kind in enumerate([*mixed] * 2)
        ]

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(filters=shapes, limit=st.integers(1, 20), excluded=st.integers(0, 20))
    def test_no_filter_shape_loses_or_leaks_anybody(
        self, filters: Filters, limit: int, excluded: int
    ) -> None:
        out = frozenset(person.pk for person in self.everybody[:excluded])
        wanted = Filters(**{**vars(filters), "exclude": out})
        got = self._pages(wanted, limit)
        assert len(got) == len(set(got))
        assert set(got) == {p.pk for p in self.everybody if self._passes(p, wanted)}

    def _pages(self, filters: Filters, limit: int) -> list[uuid.UUID]:
        got: list[uuid.UUID] = []
        while True:
            known = filters.exclude.union(got)
            page = selectors.candidates(
                self.viewer,
                space=spaces.active_space(),
                query=QUERY,
                filters=replace(filters, exclude=known),
                limit=limit,
            )
            got += [row.profile_id for row in page]
            if len(page) < limit:
                return got

    def _passes(self, person: Profile, filters: Filters) -> bool:
        seen = person.vectors.get().presence
        clean = person.smokes is not True and seen["objects.cigarette"] <= 0.5
        return (
            (not filters.genders or person.gender in filters.genders)
            and filters.age_min <= person.age() <= filters.age_max
            and (filters.radius_km is None or self._km(person) <= filters.radius_km)
            and all(seen[wish] >= 0.5 for wish in filters.must)
            and all(seen[wish] <= 0.5 for wish in filters.never)
            and {None: True, True: person.smokes is True, False: clean}[filters.smokes]
            and person.pk not in filters.exclude
        )

    def _km(self, person: Profile) -> float:
        """The spherical law of cosines, another formula than the one under test."""
        a, b = math.radians(10.0), math.radians(person.latitude or 0)
        across = math.radians((person.longitude or 0) - 10.0)
        cosine = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(
            across
        )
        return 6371.0088 * math.acos(min(1.0, cosine))


def test_everybody_has_their_own_features(
    alice: Profile, add: MakeFound, space: Space
) -> None:
    everybody = [add().pk for _ in range(5)]
    rows = PersonVector.objects.filter(profile__in=everybody)
    stored = {row.profile_id: np.array(row.vector[:WIDTH]) for row in rows}
    page = selectors.candidates(
        alice, space=space, query=QUERY, filters=Filters(), limit=5
    )
    read = selectors.features_of(everybody, space=space)
    assert set(stored) == set(read) == {one.profile_id for one in page}
    for one in page:
        assert np.allclose(one.features, stored[one.profile_id], atol=1e-6)
        assert np.array_equal(read[one.profile_id], one.features)


def test_a_block_is_known_to_both(alice: Profile, make_person: MakePerson) -> None:
    one, other = make_person(), make_person()
    alice.avoided.add(one)
    other.avoided.add(alice)
    assert selectors.blocked_with(alice) == {one.pk, other.pk}
    assert selectors.blocked_with(one) == selectors.blocked_with(other) == {alice.pk}


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"status": Profile.Status.PAUSED},
        {"status": Profile.Status.BLOCKED},
        {"consented_at": None},
        {"gender": Gender.MAN},
        {"seeking": [Gender.MAN]},
        {"birth_date": dt.date(1950, 1, 1)},
        {"sought_age_max": 20},
        {"smokes": True},
    ],
)
@pytest.mark.parametrize("met", ["never", "avoids", "is avoided"])
def test_the_last_look_sees_what_a_whole_search_would(
    alice: Profile, add: MakeFound, changed: dict[str, Any], met: str
) -> None:
    one = add()
    if met != "never":
        blocker, blocked = (one, alice) if met == "avoids" else (alice, one)
        blocker.avoided.add(blocked)
    Profile.objects.filter(pk=one.pk).update(**changed)
    filters = Filters(age_min=20, age_max=60, smokes=False)
    space = spaces.active_space()
    rows = selectors.eligible(alice, space=space, filters=filters)
    still = selectors.still_eligible(
        alice, space=space, filters=filters, profile_ids=[one.pk, alice.pk]
    )
    assert list(still) == list(rows.values_list("profile_id", flat=True))
    assert list(still) == ([] if changed or met != "never" else [one.pk])


def test_the_last_look_leaves_out_who_has_no_published_photo_or_another_client(
    alice: Profile, add: MakeFound, make_person: MakePerson, space: Space
) -> None:
    unpublished, stranger = add(), add()
    unpublished.photos.all().delete()
    other = Client.objects.create(name="other", secret_hash="x")
    Profile.objects.filter(pk=stranger.pk).update(client=other)
    still = selectors.still_eligible(
        alice,
        space=space,
        filters=Filters(),
        profile_ids=[unpublished.pk, stranger.pk],
    )
    assert still == {}


def test_the_last_look_leaves_out_the_excluded(
    alice: Profile, add: MakeFound, space: Space
) -> None:
    one, other = add(), add()
    still = selectors.still_eligible(
        alice,
        space=space,
        filters=Filters(exclude=frozenset({one.pk})),
        profile_ids=[one.pk, other.pk],
    )
    assert list(still) == [other.pk]
