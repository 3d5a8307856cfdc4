"""An annotator's version takes over only if it is no worse than the one in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client as Web

from annotation import services as annotation
from annotation.models import Annotation
from matching import acceptance, services, spaces
from matching.models import Evaluation, Space
from profiles.models import Photo, Profile
from tests.conftest import MakePerson, MakePhoto
from tests.matching.heads import head
from tests.matching.test_index import switch_annotator
from twinby.errors import ConflictError, InvalidError

OLD, NEW = "fake:fake-1", "fake:fake-2"
PHOTOS = {"measured": 100, "for_thresholds": 50, "rated": 10, "failed": {}}


def report(annotator: str, **headlines: float) -> dict[str, Any]:
    """What evaluate prints, as far as it matters here."""
    known = {"faces_auc": 0.9, "taste_auc": 0.6} | headlines
    return {"annotator": annotator, "headlines": known, "photos": PHOTOS}


def written(folder: Path, *reports: dict[str, Any]) -> list[Path]:
    files = [folder / f"{place}.json" for place in range(len(reports))]
    for file, one in zip(files, reports, strict=True):
        file.write_text(json.dumps(one))
    return files


@pytest.fixture
def carol(make_person: MakePerson, make_photo: MakePhoto) -> Profile:
    """Can be found, by what the first version has read."""
    carol = make_person()
    make_photo(carol)
    read_everything()
    services.reindex([carol.pk])
    return carol


def read_everything() -> None:
    annotation.request(list(Photo.objects.values_list("pk", flat=True)))
    annotation.annotate(list(Annotation.objects.values_list("pk", flat=True)))


def in_use() -> str:
    return annotation.version_name(spaces.active_space().load().model)


def read_by_another(patch: pytest.MonkeyPatch) -> None:
    switch_annotator(patch, "fake-2")
    read_everything()


def test_a_better_version_takes_over(
    carol: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_by_another(monkeypatch)
    files = written(tmp_path, report(OLD), report(NEW, faces_auc=0.91))
    call_command("activatemodel", "fake", evaluation=files)
    assert in_use() == NEW


@pytest.mark.parametrize("headline", ["faces_auc", "taste_auc"])
def test_one_that_is_worse_on_any_headline_is_refused(
    headline: str, carol: Profile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read_by_another(monkeypatch)
    better = {"faces_auc": 0.95, "taste_auc": 0.65}
    worse = report(NEW, **better | {headline: 0.5})
    files = written(tmp_path, report(OLD), worse)
    with pytest.raises(CommandError, match=f"worse than {OLD}: {headline} 0.5000"):
        call_command("activatemodel", "fake", evaluation=files)
    assert in_use() == OLD
    # Neither by another door.
    with pytest.raises(CommandError, match="worse"):
        call_command("fitfeaturespace")
    with pytest.raises(ConflictError, match="worse"):
        services.activate_head(head(annotator=NEW).version)
    assert in_use() == OLD
    call_command("activatemodel", "fake", force=True)
    assert in_use() == NEW


def test_what_the_former_could_and_it_cannot_counts_as_worse(db: None) -> None:
    acceptance.keep(report(OLD, identity_recall_at_1=0.1))
    acceptance.keep(report(NEW))
    assert "identity_recall_at_1 0.0000" in acceptance.shortcomings(NEW, OLD)
    assert acceptance.shortcomings(OLD, NEW) == ""


def test_figures_of_other_photos_are_not_compared(db: None) -> None:
    acceptance.keep(report(OLD))
    few = PHOTOS | {"measured": 10}
    acceptance.keep(report(NEW, faces_auc=1.0) | {"photos": few})
    assert "other photos" in acceptance.shortcomings(NEW, OLD)


def test_a_version_that_nobody_has_measured_may_take_over(
    carol: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptance.keep(report(OLD))
    read_by_another(monkeypatch)
    services.fit_feature_space()
    assert in_use() == NEW


def test_the_way_back_is_open_however_bad_the_former_was(
    carol: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    acceptance.keep(report(OLD))
    acceptance.keep(report(NEW, faces_auc=0.99))
    with monkeypatch.context() as another:
        read_by_another(another)
        services.fit_feature_space()
        assert in_use() == NEW
    services.activate_annotator("fake")
    assert in_use() == OLD


def test_an_annotator_that_does_not_read_photos_now_is_refused(carol: Profile) -> None:
    with pytest.raises(CommandError, match="TWINBY_ANNOTATOR=small"):
        call_command("activatemodel", "small")


def test_a_version_has_one_evaluation_the_latest(db: None) -> None:
    acceptance.keep(report(OLD))
    acceptance.keep(report(OLD, faces_auc=0.7))
    assert Evaluation.objects.get().headlines["faces_auc"] == 0.7


@pytest.mark.parametrize(
    "wrong",
    [[], {}, report(OLD) | {"headlines": 3}, report(OLD) | {"photos": {}}],
)
def test_anything_else_is_no_report(wrong: Any, db: None) -> None:
    with pytest.raises(InvalidError, match="no report"):
        acceptance.keep(wrong)


def test_a_file_that_cannot_be_used_is_named(carol: Profile, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    for file, reason in ((broken, "no JSON"), (tmp_path / "gone.json", "No such file")):
        with pytest.raises(CommandError, match=reason):
            call_command("activatemodel", "fake", evaluation=[file])
    assert Space.objects.count() == 1


def test_operators_see_evaluations(admin_client: Web) -> None:
    acceptance.keep(report(OLD))
    listed = admin_client.get("/admin/matching/evaluation/").content.decode()
    assert "faces_auc 0.900, taste_auc 0.600" in listed
