"""Operators' pages on calibrations and the ledger: to look at, and nothing else."""

from __future__ import annotations

import re

import pytest
from django.test import Client as Web

from annotation.models import Annotation, Attempt, Calibration
from annotation.services.calibrating import activate_calibration
from profiles.models import Photo, Profile
from tests.annotation.calibrations import VERSION, keep
from tests.pages.conftest import MakeCrowd


@pytest.fixture
def photo(make_crowd: MakeCrowd) -> Photo:
    people: list[Profile] = make_crowd(1)
    return people[0].photos.get()


def text_of(web: Web, path: str) -> str:
    answer = web.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_calibration_is_listed_with_what_it_was_worth(admin_client: Web) -> None:
    kept = keep(2.0)
    figures = {"ece": 0.25, "nll": 1.5}
    overall = {"labels": 77, "before": figures, "after": {"ece": 0.125, "nll": 0.75}}
    Calibration.objects.update(metrics={"overall": overall, "folds": []})
    text = text_of(admin_client, "/admin/annotation/calibration/")
    for shown in (kept, "77", "ECE 0.25, NLL 1.5", "ECE 0.125, NLL 0.75"):
        assert shown in text


def test_a_calibration_without_labels_has_no_figures(admin_client: Web) -> None:
    keep(2.0)
    row = Calibration.objects.get()
    page = text_of(admin_client, f"/admin/annotation/calibration/{row.pk}/change/")
    assert "ECE" not in page


@pytest.mark.parametrize("name", ["calibration", "attempt"])
def test_nobody_changes_what_was_done(admin_client: Web, name: str) -> None:
    keep(2.0)
    Attempt.objects.create(backend="fake", model="fake-1", outcome="busy")
    row = (Calibration if name == "calibration" else Attempt).objects.latest("pk")
    folder = f"/admin/annotation/{name}/"
    assert admin_client.get(f"{folder}add/").status_code == 403
    assert admin_client.post(f"{folder}{row.pk}/change/", {}).status_code == 403
    assert admin_client.post(f"{folder}{row.pk}/delete/").status_code == 403


def test_the_ledger_is_listed(admin_client: Web) -> None:
    Attempt.objects.create(
        backend="remote", model="m", provider="somewhere", outcome="rate-limited"
    )
    text = text_of(admin_client, "/admin/annotation/attempt/")
    assert "somewhere" in text
    assert "rate-limited" in text


@pytest.mark.parametrize("name", ["calibration", "attempt"])
def test_moderators_have_no_business_there(desk: Web, name: str) -> None:
    assert desk.get(f"/admin/annotation/{name}/").status_code == 403


def test_a_machine_reading_is_shown_as_it_was_said_and_as_it_is_read(
    desk: Web, photo: Photo
) -> None:
    row = Annotation.objects.get(photo=photo)
    page = f"/admin/annotation/annotation/{row.pk}/change/"
    assert "as it was said" in text_of(desk, page)
    kept = keep(2.0)
    activate_calibration(VERSION, kept)
    text = text_of(desk, page)
    assert f"fake:fake-1#{kept}" in text
    assert "as it was said" not in text
    assert len(re.findall(r'<table class="reading">', text)) == 2 * 3  # by group


def test_a_photo_says_who_reads_it(desk: Web, photo: Photo) -> None:
    kept = keep(2.0)
    activate_calibration(VERSION, kept)
    page = f"/admin/profiles/photo/{photo.pk}/change/"
    assert f"Read by <code>fake:fake-1#{kept}</code>" in text_of(desk, page)
