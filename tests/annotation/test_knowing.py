"""What is taken to be true: read by exactly the calibration that is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotation import services
from annotation.backends.base import AnnotatorVersion, Source
from annotation.calibration.calibrator import TRUST, Calibrator
from annotation.calibration.scaling import Scaling
from annotation.models import Annotation, Calibration, Correction
from annotation.schema import (
    BY_NAME,
    NOT_VISIBLE,
    SCHEMA_VERSION,
    problems,
    unseen,
)
from annotation.services.calibrating import activate_calibration
from annotation.services.requesting import current_readings
from profiles.models import Photo, Profile
from tests.conftest import MakePhoto
from tests.matching.readings import reading
from twinby.errors import UnavailableError

VERSION = AnnotatorVersion("fake", "fake-1")
HAIR = BY_NAME["hair_color"]
SAID = {"red": 0.6, "blonde": 0.3}


def keep(*, red: float) -> str:
    """Keep a calibration that makes red hair so much likelier; its version."""
    bias = np.zeros(9)
    bias[HAIR.values.index("red")] = red
    calibrator = Calibrator({"hair_color": Scaling(np.ones(9), bias)})
    Calibration.objects.create(
        backend="fake",
        model="fake-1",
        schema_version=SCHEMA_VERSION,
        version=calibrator.version,
        method="labels",
        content=calibrator.as_json(),
    )
    return calibrator.version


def say(photo: Photo, **fields: Any) -> None:
    """Make a row of what the annotator has said of the photo."""
    said: dict[str, Any] = {"attributes": reading(hair_color=SAID), "features": None}
    said |= {"status": "done", **fields}
    Annotation.objects.filter(photo=photo).update(**said)


@pytest.fixture
def photo(alice: Profile, make_photo: MakePhoto) -> Photo:
    photo = make_photo(alice)
    say(photo)
    return photo


def red(photo: Photo, reader: str = "") -> float:
    seen = services.effective_readings([photo.pk], annotator=reader)[photo.pk]
    assert problems(seen.attributes) == []
    return seen.attributes["hair_color"]["red"]


def test_without_a_calibration_what_was_said_counts_as_it_is(photo: Photo) -> None:
    seen = services.effective_readings([photo.pk])[photo.pk]
    assert seen.annotator == services.active_reader() == "fake:fake-1"
    assert seen.attributes == photo.annotations.get().attributes


def test_a_calibration_counts_from_when_it_is_activated(photo: Photo) -> None:
    kept = keep(red=1.0)
    assert red(photo) == 0.6
    activate_calibration(VERSION, kept)
    assert services.active_reader() == f"fake:fake-1#{kept}"
    assert red(photo) == pytest.approx(0.6 * np.e / (0.4 + 0.6 * np.e), abs=1e-3)
    seen = services.effective_readings([photo.pk])[photo.pk]
    assert seen.annotator == services.active_reader()
    activate_calibration(VERSION, None)
    assert red(photo) == 0.6


def test_rows_keep_what_was_said(photo: Photo) -> None:
    activate_calibration(VERSION, keep(red=1.0))
    red(photo)
    assert photo.annotations.get().attributes["hair_color"]["red"] == 0.6


def test_a_named_reader_reads_by_exactly_its_calibration(photo: Photo) -> None:
    one, other = keep(red=1.0), keep(red=-1.0)
    activate_calibration(VERSION, one)
    before = red(photo)
    activate_calibration(VERSION, other)
    assert red(photo, f"fake:fake-1#{one}") == before > 0.6 > red(photo)
    assert red(photo, "fake:fake-1") == 0.6


def test_a_name_with_a_calibration_is_still_that_of_its_version() -> None:
    assert AnnotatorVersion.of_name("local:org/qwen@p-1#c-2") == AnnotatorVersion(
        "local", "org/qwen", "p-1"
    )
    assert AnnotatorVersion.of_name("fake:fake-1#c-2") == VERSION


def test_a_reading_by_another_annotator_is_read_by_its_own_calibration(
    photo: Photo,
) -> None:
    kept = keep(red=1.0)
    activate_calibration(VERSION, kept)
    seen = services.effective_readings([photo.pk], annotator="old:old-1#c-00000000")
    assert seen[photo.pk].annotator == f"fake:fake-1#{kept}"
    assert seen[photo.pk].attributes["hair_color"]["red"] > 0.7


def test_a_calibration_that_is_gone_is_no_other(photo: Photo) -> None:
    with pytest.raises(UnavailableError):
        red(photo, "fake:fake-1#c-00000000")


def test_another_versions_calibration_does_not_count(photo: Photo) -> None:
    kept = keep(red=1.25)  # which nothing has read by before
    Calibration.objects.update(is_active=True, model="fake-2")
    assert red(photo) == 0.6
    with pytest.raises(UnavailableError):
        red(photo, f"fake:fake-1#{kept}")


def test_a_correction_wins_over_a_calibration(photo: Photo) -> None:
    activate_calibration(VERSION, keep(red=1.0))
    services.correct(
        photo, attribute="hair_color", values=["grey"], reason="seen", moderator=None
    )
    seen = services.effective_readings([photo.pk])[photo.pk]
    assert seen.attributes["hair_color"]["grey"] == 1.0
    assert seen.corrected == {"hair_color"}


def test_a_refusal_counts_as_unseen(photo: Photo) -> None:
    say(photo, mass={"hair_color": 0.05})
    seen = services.effective_readings([photo.pk])[photo.pk]
    assert seen.attributes["hair_color"] == unseen(HAIR)


def test_what_was_only_named_is_not_taken_for_certain(photo: Photo) -> None:
    say(photo, source=Source.ONE_HOT, attributes=reading(hair_color="red"))
    assert red(photo) == pytest.approx(TRUST)


def test_one_row_can_be_seen_as_it_is_read_without_corrections(photo: Photo) -> None:
    services.correct(
        photo, attribute="hair_color", values=["grey"], reason="seen", moderator=None
    )
    activate_calibration(VERSION, keep(red=1.0))
    seen = services.as_read(photo.annotations.get())
    assert seen.attributes["hair_color"]["red"] > 0.7
    assert seen.attributes["hair_color"][NOT_VISIBLE] < 0.1


def test_many_photos_are_read_by_as_few_queries_as_one(
    alice: Profile, make_photo: MakePhoto, django_assert_num_queries: Any
) -> None:
    photos = [make_photo(alice) for _ in range(4)]
    for photo in photos:
        say(photo)
    kept = keep(red=1.0)
    activate_calibration(VERSION, kept)
    services.effective_readings([photos[0].pk])  # the calibration is in memory now
    for some in (photos[:1], photos):
        with django_assert_num_queries(3):  # the active one, rows, corrections
            services.effective_readings([photo.pk for photo in some])
        with django_assert_num_queries(2):
            services.effective_readings(
                [photo.pk for photo in some], annotator=f"fake:fake-1#{kept}"
            )


def test_only_done_rows_of_the_two_versions_in_question_are_read(
    alice: Profile, make_photo: MakePhoto
) -> None:
    rows: dict[str, dict[str, Any]] = {
        "active": {},
        "named": {"backend": "old", "model": "old-1", "prompt_version": "p-1"},
        "mixed": {"backend": "old", "model": "fake-1"},
        "another prompt": {"prompt_version": "p-1"},
        "another schema": {"schema_version": "0"},
        "pending": {"status": "pending"},
    }
    photos = {name: make_photo(alice) for name in rows}
    for name, fields in rows.items():
        say(photos[name], **fields)
    for annotator in ("", "old:old-1@p-1"):
        by_rule = current_readings(annotator).values_list("photo_id", flat=True)
        ids = [photo.pk for photo in photos.values()]
        found = services.effective_readings(ids, annotator=annotator)
        assert set(found) == set(by_rule)
        named = {photos["named"].pk} if annotator else set()
        assert set(found) == {photos["active"].pk, *named}


def test_a_correction_of_what_is_no_attribute_any_more_is_passed_over(
    photo: Photo,
) -> None:
    for attribute in "hair_color", "shoe_size":
        Correction.objects.create(
            photo=photo, attribute=attribute, distribution=unseen(HAIR), reason="seen"
        )
    effective = services.effective_readings([photo.pk])[photo.pk]
    assert effective.corrected == {"hair_color"}
    assert effective.attributes["hair_color"] == unseen(HAIR)
    assert "shoe_size" not in effective.attributes
