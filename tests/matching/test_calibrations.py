"""Two calibrations never meet in one search: a feature space names the one it is of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from annotation import services as annotation
from annotation.services.calibrating import activate_calibration
from matching import services, spaces
from matching.models import PersonVector, Space
from matching.search import Query, search
from profiles.models import Photo, Profile
from tests.annotation.calibrations import VERSION, keep
from tests.conftest import MakePerson, MakePhoto

Work = Callable[[], None]


@pytest.fixture
def crowd(work: Work, make_person: MakePerson, make_photo: MakePhoto) -> list[Profile]:
    """Five people who have been read and can be found."""
    people = [make_person() for _ in range(5)]
    for person in people:
        make_photo(person)
    work()
    return people


def found(viewer: Profile, liked: Profile) -> dict[str, float]:
    """The whole answer to one search."""
    query = Query(liked=(liked.photos.get().pk,), limit=50)
    page = search(viewer, query)
    return {m.ranked.candidate.id: m.ranked.score for m in page.matches}


def vectors() -> dict[object, object]:
    rows = PersonVector.objects.filter(space=spaces.active_space())
    return {row.profile_id: tuple(np.asarray(row.vector)) for row in rows}


def test_a_search_stays_in_its_space_when_a_calibration_is_activated(
    work: Work, alice: Profile, crowd: list[Profile]
) -> None:
    before, places = found(alice, crowd[0]), vectors()
    activate_calibration(VERSION, keep(2.0))
    assert found(alice, crowd[0]) == before
    assert services.sweep() == 0
    for person in crowd:  # and whoever is indexed meanwhile, stays there as well
        services.reindex([person.pk])
    assert vectors() == places
    assert found(alice, crowd[0]) == before


def test_a_newly_fitted_space_is_read_by_the_active_calibration(
    work: Work, alice: Profile, crowd: list[Profile]
) -> None:
    before = found(alice, crowd[0])
    kept = keep(2.0)
    activate_calibration(VERSION, kept)
    space = spaces.feature_space(services.fit_feature_space())
    assert space.model == annotation.active_reader() == f"fake:fake-1#{kept}"
    assert found(alice, crowd[0]).keys() == before.keys()
    assert found(alice, crowd[0]) != before
    photo = crowd[0].photos.get()
    seen = spaces.sightings_in(space, [photo.pk])[photo.pk]
    effective = annotation.effective_readings([photo.pk])[photo.pk]
    assert seen.attributes == effective.attributes
    assert seen.embedding is not None


def test_two_calibrations_never_mix(
    work: Work, alice: Profile, crowd: list[Profile], make_photo: MakePhoto
) -> None:
    one, other = keep(2.0), keep(0.5)
    activate_calibration(VERSION, one)
    services.fit_feature_space()
    before = found(alice, crowd[0])
    activate_calibration(VERSION, other)
    assert found(alice, crowd[0]) == before
    photo = make_photo(crowd[1])  # read after the change, indexed where searches are
    work()
    space = spaces.feature_space(spaces.active_space())
    assert space.model.endswith(one)
    assert read_by(photo, space.model) != read_by(photo, annotation.active_reader())
    services.fit_feature_space()
    assert spaces.feature_space(spaces.active_space()).model.endswith(other)
    activate_calibration(VERSION, None)
    services.fit_feature_space()
    assert spaces.feature_space(spaces.active_space()).model == "fake:fake-1"


def read_by(photo: Photo, reader: str) -> object:
    seen = annotation.effective_readings([photo.pk], annotator=reader)[photo.pk]
    assert seen.annotator == reader
    return seen.attributes


def test_features_of_another_calibrations_reader_count_as_unseen(
    work: Work, crowd: list[Profile]
) -> None:
    photo = crowd[0].photos.get()
    kept = keep(2.0)
    mixed = spaces.sightings(
        [photo.pk], model=f"fake:fake-2#{kept}", projection="identity"
    )
    assert mixed[photo.pk].embedding is None


def test_a_space_remembers_its_calibration_until_it_is_retired(
    work: Work, alice: Profile, crowd: list[Profile]
) -> None:
    kept = keep(2.0)
    activate_calibration(VERSION, kept)
    services.fit_feature_space()
    activate_calibration(VERSION, None)
    building = Space.objects.get(status=Space.Status.ACTIVE)
    assert building.content["model"] == f"fake:fake-1#{kept}"
    assert found(alice, crowd[0])
    assert not services.sweep()
