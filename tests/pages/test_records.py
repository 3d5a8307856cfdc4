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

CALIBRATIONS = "/admin/annotation/calibration/"


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
    figures = {"ece": 0.25, "nll": 1.5, "accuracy": 0.5}
    after = {"ece": 0.125, "nll": 0.75, "accuracy": 0.875}
    overall = {"labels": 77, "before": figures, "after": after}
    many = {"labels": 7, "before": figures | {"ece": None}, "after": after}
    metrics = {"overall": overall, "attributes": {"hair_color": many}, "folds": []}
    Calibration.objects.update(metrics=metrics)
    text = text_of(admin_client, CALIBRATIONS)
    arrow = "\N{RIGHTWARDS ARROW}"
    for shown in (kept, "77", f"0.250 {arrow} 0.125", f"1.500 {arrow} 0.750"):
        assert shown in text
    row = Calibration.objects.get()
    text = text_of(admin_client, f"{CALIBRATIONS}{row.pk}/change/")
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", text.split("<tbody>")[1])
    assert cells[:8] == ["all", "77", *"0.250 0.125 1.500 0.750 0.500 0.875".split()]
    assert cells[8:12] == ["hair color", "7", "-", "0.125"]
    assert "scalings" not in text


def test_a_calibration_without_labels_has_no_figures(admin_client: Web) -> None:
    keep(2.0)
    row = Calibration.objects.get()
    page = text_of(admin_client, f"{CALIBRATIONS}{row.pk}/change/")
    assert "not measured: there were no labels" in page


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


def test_of_somebody_who_may_be_under_age_only_the_gates_are_shown(
    desk: Web, photo: Photo
) -> None:
    rows = Annotation.objects.filter(photo=photo)
    gates = {"face_count": "pass", "adults": "fail"}
    rows.update(attributes={}, mass={}, gates=gates, features=None)
    for path in (
        f"/admin/annotation/annotation/{rows.get().pk}/change/",
        f"/admin/profiles/photo/{photo.pk}/change/",
    ):
        text = text_of(desk, path)
        assert "only the gates were kept" in text
        assert '<span class="gate fail">adults: fail</span>' in text
        assert "face count: pass" in text


@pytest.mark.parametrize(
    ("status", "failure"), [("pending", ""), ("failed", "too-many-attempts")]
)
def test_what_was_not_read_has_a_page(
    desk: Web, photo: Photo, status: str, failure: str
) -> None:
    row = Annotation.objects.get(photo=photo)
    Annotation.objects.update(attributes={}, gates={}, status=status, failure=failure)
    text = text_of(desk, f"/admin/annotation/annotation/{row.pk}/change/")
    assert f'<span class="status {status}">{status}</span> {failure}' in text
    assert "under age" not in text
    assert '<table class="reading">' not in text


def test_a_reading_of_an_older_schema_is_shown_as_it_was_said(
    desk: Web, photo: Photo
) -> None:
    activate_calibration(VERSION, keep(2.0))
    row = Annotation.objects.get(photo=photo)
    del row.attributes["hair_color"]
    row.attributes["vibe"] = {"warm": 1.0, "not_visible": 0.0}
    row.schema_version = "s-older"
    row.save()
    text = text_of(desk, f"/admin/annotation/annotation/{row.pk}/change/")
    assert "it is of an older schema" in text
    assert len(re.findall(r'<table class="reading">', text)) == 3


def test_a_reading_says_what_was_refused_and_shows_no_raw_numbers(
    desk: Web, photo: Photo
) -> None:
    row = Annotation.objects.get(photo=photo)
    Annotation.objects.update(mass={"hair_color": 0.01234, "vibe": 0.9})
    text = text_of(desk, f"/admin/annotation/annotation/{row.pk}/change/")
    assert re.search(
        r'Not answered:.*?<div class="readonly">hair color</div>', text, re.S
    )
    assert "0.01234" not in text
    assert "&quot;vibe&quot;" not in text


def test_a_photo_says_who_reads_it(desk: Web, photo: Photo) -> None:
    kept = keep(2.0)
    activate_calibration(VERSION, kept)
    page = f"/admin/profiles/photo/{photo.pk}/change/"
    assert f"Read by <code>fake:fake-1#{kept}</code>" in text_of(desk, page)
