"""manage calibrate: labels in, a measured and kept calibration out; the way back."""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from annotation import services
from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
    gates,
)
from annotation.backends.fake import FakeAnnotator
from annotation.calibration.fitting import FOLDS, fold_of
from annotation.models import Annotation, Attempt, Calibration
from annotation.schema import BY_NAME, NOT_VISIBLE, SCHEMA_VERSION, Verdict
from annotation.services import asking
from profiles.models import Photo, Profile
from tests.conftest import photo_bytes
from tests.matching.readings import reading

Rows = Iterable[tuple[str, str, str]]
Run = Callable[..., dict[str, Any]]
WriteLabels = Callable[[Rows], Path]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "PAUSES_SECONDS", (0.0, 0.0))


@pytest.fixture
def write_labels(tmp_path: Path) -> WriteLabels:
    def write(rows: Rows) -> Path:
        file = tmp_path / "labels.csv"
        with file.open("w", newline="") as out:
            csv.writer(out).writerows([("photo", "attribute", "value"), *rows])
        return file

    return write


@pytest.fixture
def run(db: None, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command's answer; what it says beside it in `said`."""

    def calibrate(**options: Any) -> dict[str, Any]:
        capsys.readouterr()
        call_command("calibrate", **options)
        printed = capsys.readouterr()
        answer = json.loads(printed.out)
        return answer | {"said": printed.err} if isinstance(answer, dict) else answer

    return calibrate


def photo_of(owner: Profile, hair: dict[str, float]) -> Photo:
    """A photo without a file that the annotator has read so; its hash is its number."""
    number = Photo.objects.count()
    photo = Photo.objects.create(
        pk=uuid.UUID(int=number),
        sha256=f"{number:064}",
        owner=owner,
        purpose=Photo.Purpose.PROFILE,
        dhash="0" * 64,
        width=1,
        height=1,
    )
    Annotation.objects.update_or_create(
        photo=photo,
        backend="fake",
        model="fake-1",
        schema_version=SCHEMA_VERSION,
        defaults={"status": "done", "attributes": reading(hair_color=hair)},
    )
    return photo


@pytest.fixture
def overconfident(alice: Profile) -> list[tuple[str, str, str]]:
    """Labels of 60 photos called red with 0.96, of which every third is blonde."""
    photos = [photo_of(alice, {"red": 0.96, "blonde": 0.03}) for _ in range(60)]
    return [
        (str(photo.pk), "hair_color", "red" if i % 3 else "blonde")
        for i, photo in enumerate(photos)
    ]


def test_labels_of_photos_that_were_read_make_a_calibration(
    run: Run, write_labels: WriteLabels, overconfident: Rows
) -> None:
    answer = run(labels=write_labels(overconfident))
    assert (answer["photos"], answer["labels"]) == (60, 60)
    assert answer["compared_with"] == "fake:fake-1"
    hair = answer["attributes"]["hair_color"]
    assert hair == answer["overall"]
    assert hair["before"]["ece"] == pytest.approx(0.96 - 2 / 3, abs=1e-3)
    assert hair["after"]["ece"] < 0.15
    assert hair["after"]["nll"] < 0.7 * hair["before"]["nll"]
    assert hair["before"]["bins"] == [{"said": 0.96, "came": 0.6667, "labels": 60.0}]
    row = Calibration.objects.get()
    assert (row.version, row.method) == (answer["version"], "labels")
    assert not row.is_active
    assert not answer["active"]
    assert len(row.metrics["folds"]) == FOLDS


def test_activating_changes_what_is_read_and_says_what_to_run(
    run: Run, write_labels: WriteLabels, overconfident: list[tuple[str, str, str]]
) -> None:
    answer = run(labels=write_labels(overconfident), activate=True)
    assert answer["active"]
    assert "fitfeaturespace" in answer["said"]
    assert services.active_reader() == answer["reader"]
    photo = Photo.objects.all()[0]
    hair = services.effective_readings([photo.pk])[photo.pk].attributes["hair_color"]
    assert hair["red"] == pytest.approx(2 / 3, abs=0.1)


def test_the_same_labels_give_the_same_calibration_once(
    run: Run, write_labels: WriteLabels, overconfident: list[tuple[str, str, str]]
) -> None:
    file = write_labels(overconfident)
    first, again = run(labels=file, activate=True), run(labels=file, activate=True)
    assert first["version"] == again["version"]
    assert Calibration.objects.count() == 1
    assert again["active"]


def test_a_growing_file_of_labels_is_compared_fairly(
    run: Run,
    write_labels: WriteLabels,
    overconfident: list[tuple[str, str, str]],
    alice: Profile,
) -> None:
    """What is active is measured on photos that it has not learned from either."""
    first = run(labels=write_labels(overconfident), activate=True)
    more = [photo_of(alice, {"red": 0.96, "blonde": 0.03}) for _ in range(30)]
    labels = [
        (str(photo.pk), "hair_color", "red" if i % 3 else "blonde")
        for i, photo in enumerate(more)
    ]
    second = run(labels=write_labels([*overconfident, *labels]), activate=True)
    assert second["compared_with"] == first["reader"]
    assert second["active"]
    kept = Calibration.objects.get(version=first["version"])
    assert not kept.is_active
    before = first["overall"]["after"]["nll"]
    again = run(labels=write_labels(overconfident))
    assert Calibration.objects.filter(is_active=True).count() == 1
    assert again["overall"]["after"]["nll"] == before


def test_one_that_is_worse_is_kept_but_not_activated_unless_forced(
    run: Run, write_labels: WriteLabels, alice: Profile
) -> None:
    """Every fold has a colour of its own: what the others teach is wrong in it."""
    colours = BY_NAME["hair_color"].values[:FOLDS]
    evenly = dict.fromkeys(colours, 1 / FOLDS)
    photos = [photo_of(alice, evenly) for _ in range(40)]
    labels = write_labels(
        (str(photo.pk), "hair_color", colours[fold_of(photo.sha256)])
        for photo in photos
    )
    with pytest.raises(CommandError, match="held out its negative log-likelihood"):
        run(labels=labels, activate=True)
    kept = Calibration.objects.get()
    assert not kept.is_active
    assert run(labels=labels, activate=True, force=True)["version"] == kept.version
    assert services.active_reader().endswith(kept.version)


def test_photos_of_a_folder_need_no_rows_in_the_database(
    run: Run, write_labels: WriteLabels, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(20):
        (tmp_path / "photos" / f"{number}.png").write_bytes(photo_bytes(number))
    answer = run(
        labels=write_labels(
            (f"photos/{n}.png", name, value)
            for n in range(20)
            for name, value in (("hair_color", "red|grey"), ("objects", "dog|cat"))
        )
    )
    assert (answer["photos"], answer["labels"]) == (20, 40)
    assert set(answer["attributes"]) == {"hair_color", "objects"}
    assert not Annotation.objects.exists()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("secret.jpg", "hair_color", "red"), "Line 2: no such file"),
        (("s" * 300, "hair_color", "red"), "Line 2: no such file"),
        (("notes.txt", "hair_color", "red"), r"Line 2: .*\(not-an-image\)"),
        (
            ("00000000-0000-4000-8000-000000000000", "hair_color", "red"),
            "Line 2: fake:fake-1 has not read this photo. Run manage annotate",
        ),
        (("a.png", "hair_color", "purple"), "Line 2: hair_color has no such value"),
    ],
)
def test_a_bad_label_is_named_by_its_line_and_leaves_nothing_behind(
    run: Run,
    write_labels: WriteLabels,
    tmp_path: Path,
    row: tuple[str, str, str],
    says: str,
) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see here")
    with pytest.raises(CommandError, match=says) as refusal:
        run(labels=write_labels([row]), activate=True)
    assert row[0] not in str(refusal.value)
    assert not Calibration.objects.exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read: No such file"), (b"\xff\xfe\x00", "no UTF-8 text")],
)
def test_a_file_that_cannot_be_read_is_refused(
    run: Run, tmp_path: Path, content: bytes | None, says: str
) -> None:
    file = tmp_path / "labels.csv"
    if content:
        file.write_bytes(content)
    with pytest.raises(CommandError, match=says):
        run(labels=file)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (PermanentError("refused"), r"Line 2: .*\(refused\)\. Leave it out"),
        (TransientError("busy"), r"Line 2: still not read .*\(busy\)\. Try again"),
        (BackendUnavailableError("It needs a GPU."), "It needs a GPU"),
    ],
)
def test_an_annotator_that_cannot_read_says_why(
    run: Run,
    write_labels: WriteLabels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Exception,
    says: str,
) -> None:
    def read(_: FakeAnnotator, photos: Sequence[bytes]) -> list[AnnotationError]:
        if isinstance(outcome, PermanentError):
            return [outcome for _ in photos]
        raise outcome

    monkeypatch.setattr(FakeAnnotator, "read", read)
    (tmp_path / "a.png").write_bytes(photo_bytes())
    with pytest.raises(CommandError, match=says):
        run(labels=write_labels([("a.png", "hair_color", "red")]))


def test_nothing_to_fit_to_is_refused(run: Run) -> None:
    with pytest.raises(CommandError, match="--labels or --content-free"):
        run()
    with pytest.raises(CommandError, match="there are fake"):
        run(content_free=True, backend="oracle")


# Corrections --------------------------------------------------------------------------


def test_moderators_corrections_are_labels_only_when_asked_for(
    run: Run, write_labels: WriteLabels, alice: Profile
) -> None:
    photos = [photo_of(alice, {"red": 0.9}) for _ in range(4)]
    for photo in photos[:3]:
        services.correct(
            photo, attribute="hair_color", values=["grey"], reason="it is",
            moderator=None,
        )  # fmt: skip
    taken_back = services.correct(
        photos[2], attribute="objects", values=["dog"], reason="one", moderator=None
    )
    services.withdraw_correction(taken_back)
    services.correct(
        photos[2], attribute="objects", values=[], reason="none", moderator=None
    )
    labels = write_labels(
        [
            (str(photos[0].pk), "hair_color", "red"),
            (str(photos[3].pk), "objects", NOT_VISIBLE),
        ]
    )
    assert run(labels=labels)["labels"] == 2
    both = run(labels=labels, corrections=True)
    assert both["photos"] == 4
    assert both["labels"] == 5  # the file's word on the first photo counts
    alone = run(corrections=True)
    assert alone["labels"] == 4
    assert "no fair sample" in alone["said"]


# Content-free -------------------------------------------------------------------------


def biased(photos: Sequence[bytes], red: float) -> list[Reading]:
    """An annotator that sees hardly anything, and if anything, red."""
    share = dict.fromkeys(BY_NAME["hair_color"].values, (1 - red) / 7)
    hair = {value: 0.1 * p for value, p in (share | {"red": red}).items()}
    seen = reading(hair_color=hair)
    return [Reading(seen, gates(), None, 0.0) for _ in photos]


def test_without_labels_the_models_own_preference_is_divided_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, alice: Profile
) -> None:
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: biased(photos, 0.3))
    answer = run(content_free=True, activate=True)
    assert answer["method"] == "content_free"
    assert answer["overall"] is None
    assert answer["active"]
    photo = photo_of(alice, {"red": 0.3, "black": 0.1})
    hair = services.effective_readings([photo.pk])[photo.pk].attributes["hair_color"]
    assert hair["black"] == pytest.approx(hair["red"], rel=1e-3)
    assert hair[NOT_VISIBLE] == pytest.approx(0.6)


def test_labels_only_measure_what_is_content_free(
    run: Run,
    write_labels: WriteLabels,
    overconfident: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: biased(photos, 0.3))
    measured = run(content_free=True, labels=write_labels(overconfident))
    unmeasured = run(content_free=True)
    assert measured["version"] == unmeasured["version"]
    assert measured["overall"]["labels"] == 60
    assert measured["overall"]["after"]["nll"] < measured["overall"]["before"]["nll"]


def test_an_equal_calibration_keeps_the_figures_that_were_measured_last(
    run: Run,
    write_labels: WriteLabels,
    overconfident: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: biased(photos, 0.3))
    run(content_free=True)
    assert Calibration.objects.get().metrics["overall"] is None
    for labels in (overconfident, overconfident[:30]):
        measured = run(content_free=True, labels=write_labels(labels))
        assert measured["overall"]["labels"] == len(labels)
        assert Calibration.objects.get().metrics["overall"] == measured["overall"]
    run(content_free=True)  # without labels nothing is measured
    assert Calibration.objects.get().metrics["overall"] == measured["overall"]


def test_what_was_fitted_to_labels_is_not_replaced_unmeasured(
    run: Run,
    write_labels: WriteLabels,
    overconfident: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(labels=write_labels(overconfident), activate=True)
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: biased(photos, 0.3))
    with pytest.raises(CommandError, match="without labels nobody knows"):
        run(content_free=True, activate=True)
    assert run(content_free=True, activate=True, force=True)["active"]


@pytest.mark.parametrize("fault", [TransientError("busy"), PermanentError("refused")])
def test_a_neutral_picture_that_is_not_read_is_not_left_out(
    run: Run, monkeypatch: pytest.MonkeyPatch, fault: AnnotationError
) -> None:
    def read(_: FakeAnnotator, photos: Sequence[bytes]) -> list[Any]:
        last = [fault] if len(photos) in {1, 9} else biased(photos[:1], 0.3)
        return [*biased(photos[1:], 0.3), *last]

    monkeypatch.setattr(FakeAnnotator, "read", read)
    says = rf"read only 8 of 9 pictures without content \({fault.reason}\)"
    with pytest.raises(CommandError, match=says):
        run(content_free=True)
    assert not Calibration.objects.exists()


def test_what_neutral_pictures_say_of_age_takes_nothing_away(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubtful = [replace(biased([b""], 0.3)[0], gates=gates(adults=Verdict.FAIL))]
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: doubtful * len(photos))
    assert run(content_free=True)["method"] == "content_free"


def test_pictures_without_content_are_in_the_ledger(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: biased(photos, 0.3))
    run(content_free=True)
    assert Attempt.objects.filter(backend="fake", outcome="done").count() == 9


def test_a_spent_budget_makes_no_calibration(
    run: Run, priced: Callable[[float], None], settings: Any
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.1
    priced(0.25)
    with pytest.raises(CommandError, match=r"is spent: .* No calibration was"):
        run(content_free=True)
    assert not Attempt.objects.exists()


def test_an_annotator_without_preferences_has_none_to_correct(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = [Reading(reading(), gates(), None, 0.0)]
    monkeypatch.setattr(FakeAnnotator, "read", lambda _, photos: blind * len(photos))
    with pytest.raises(CommandError, match="no preference to correct"):
        run(content_free=True)


# The way back -------------------------------------------------------------------------


def test_what_is_kept_can_be_listed_used_again_and_put_aside(
    run: Run, write_labels: WriteLabels, overconfident: list[tuple[str, str, str]]
) -> None:
    first = run(labels=write_labels(overconfident), activate=True)
    second = run(labels=write_labels(overconfident[:40]))
    listed: Any = run(list=True)
    assert [row["version"] for row in listed] == [second["version"], first["version"]]
    assert [row["active"] for row in listed] == [False, True]
    assert run(use=second["version"])["reader"] == second["reader"]
    assert services.active_reader() == second["reader"]
    assert run(deactivate=True)["reader"] == services.active_reader() == "fake:fake-1"
    with pytest.raises(CommandError, match="no calibration of that name"):
        run(use="c-00000000")


def test_one_calibration_of_a_version_is_active_at_most(
    run: Run, write_labels: WriteLabels, overconfident: list[tuple[str, str, str]]
) -> None:
    for count in (60, 50, 40):
        run(labels=write_labels(overconfident[:count]), activate=True, force=True)
    assert Calibration.objects.count() == 3
    assert Calibration.objects.filter(is_active=True).count() == 1
