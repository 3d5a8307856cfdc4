"""What labels ask, what readings answer, and who is told less well than others."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from annotation import services
from annotation.backends.base import (
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.evaluation import attributes, cases, questions, sources
from annotation.evaluation.attributes import Judge
from annotation.evaluation.cases import CCP, CELEBA, LOWER_HALF, STANFORD, Cases
from annotation.evaluation.metrics import Floats, resampled
from annotation.evaluation.questions import Question
from annotation.schema import NOT_VISIBLE, Attributes, unseen_attributes
from annotation.services import unkept
from tests import labelled
from tests.annotation.scripted import Scripted
from tests.annotation.scripted import reading as plain_reading
from tests.conftest import photo_bytes
from twinby.errors import NotFoundError, UnavailableError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled.make(tmp_path_factory.mktemp("labelled") / "data")


@pytest.fixture(scope="module")
def kept(folder: Path) -> Cases:
    return cases.kept(folder)


def smiling(chance: float) -> Attributes:
    said = unseen_attributes()
    said["expression"] |= {"smile": chance, "serious": 1 - chance, NOT_VISIBLE: 0.0}
    return said


def asked_of(kept: Cases, label: str) -> Question:
    found = [*questions.of_faces(kept), *questions.of_clothes(kept)]
    return next(one for one in found if one.label == label)


HALF = {"expression.Smiling": 0.5}


# Photos kept from training ------------------------------------------------------------


ROWS = sources._parted(list(range(100)))


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 33, 100])
def test_what_is_held_out_does_not_hang_on_how_much_is_read(limit: int) -> None:
    for validation in (True, False, None):
        some = sources._chosen(ROWS, limit, validation=validation)
        assert 1 <= len(some) <= limit
        assert all(is_kept == (row % 5 == 0) for row, is_kept in some)
        if validation is not None:
            assert {is_kept for _, is_kept in some} == {validation}


@pytest.mark.parametrize("limit", [6, 10, 20, 50])
def test_a_few_photos_of_all_are_of_both_parts(limit: int) -> None:
    some = sources._chosen(ROWS, limit, validation=None)
    assert {is_kept for _, is_kept in some} == {True, False}


def test_a_photo_is_not_held_out_while_its_double_is_learned_from(
    tmp_path: Path,
) -> None:
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for place in range(10):
            # The first is there once more among those learned from, the sixth is not.
            archive.writestr(str(place), b"first" if place in (0, 3) else str(place))
    rows = [{"file": str(place)} for place in range(10)]
    with zipfile.ZipFile(path) as archive:
        kept = sources._without_doubles(sources._parted(rows), archive)
    assert [row["file"] for row, is_kept in kept if is_kept] == ["5"]
    assert [row["file"] for row, is_kept in kept if not is_kept] == list("12346789")


def test_celeba_s_test_split_is_for_others(tmp_path: Path) -> None:
    folder = labelled.make(tmp_path / "data")
    table = folder / "celeba_attributes.csv.gz"
    with gzip.open(table, "rt") as lines:
        text = lines.read()
    with gzip.open(table, "wt") as out:
        out.write(text.replace("train", "test", 1))
    assert len(list(sources.celeba(folder))) == labelled.FACES - 1


def test_nothing_that_was_trained_on_is_measured(folder: Path, kept: Cases) -> None:
    faces = kept.among(CELEBA)
    assert faces.sum() == labelled.VALIDATION
    assert (kept.identity[faces] < labelled.VALIDATION // 2).all()
    taught = cases.taught(folder)
    assert (taught.identity[taught.among(CELEBA)] >= labelled.VALIDATION // 2).all()
    assert not taught.among(LOWER_HALF).any()


def test_a_lower_half_is_the_lower_half_pixel_by_pixel(kept: Cases) -> None:
    street = int(np.flatnonzero(kept.among(CCP))[0])
    assert kept.kind[street + 1] == LOWER_HALF
    whole = sources.pixels(kept.photos[street])
    lower = sources.pixels(kept.photos[street + 1])
    assert (lower == whole[whole.shape[0] // 2 :]).all()


def test_a_photo_and_its_lower_half_are_a_pair(kept: Cases) -> None:
    pairs = kept.pairs()
    for row in np.flatnonzero(kept.among(LOWER_HALF)):
        assert pairs[row] == pairs[row - 1]
    assert len(set(pairs.tolist())) == (~kept.among(LOWER_HALF)).sum()


def test_unaligned_faces_are_those_kept_as_a_camera_takes_them(
    folder: Path, kept: Cases
) -> None:
    found, again = cases.unaligned(folder), cases.unaligned(folder)
    assert found.photos == again.photos
    faces = np.flatnonzero(kept.among(CELEBA))
    assert found.labels == [kept.labels[row] for row in faces]
    sheets = [sources.pixels(photo) for photo in found.photos]
    assert {sheet.shape for sheet in sheets} == {(320, 240, 3)}
    # Brightness is what these photos show, and it is all still there.
    shown = [sources.pixels(kept.photos[row]).mean() for row in faces]
    assert [sheet.mean() for sheet in sheets] == pytest.approx(shown, abs=25)


def test_a_broken_photo_of_the_folder_is_no_image() -> None:
    with pytest.raises(ValueError, match="not an image"):
        sources.pixels(b"nothing")


# Questions ----------------------------------------------------------------------------


def test_a_label_is_answered_by_all_that_it_can_mean_where_it_is_visible(
    kept: Cases,
) -> None:
    said = unseen_attributes()
    said["hair_color"] |= {
        "dark_brown": 0.3,
        "light_brown": 0.1,
        "black": 0.4,
        NOT_VISIBLE: 0.2,
    }
    brown = asked_of(kept, "Brown_Hair")
    answered = brown.said([said] * len(kept))
    assert answered == pytest.approx((0.3 + 0.1) / 0.8)
    assert brown.means == "hair_color: dark_brown light_brown"
    assert asked_of(kept, "dress").means == "clothing_items"


def test_what_is_not_seen_at_all_is_answered_no(kept: Cases) -> None:
    answered = asked_of(kept, "Smiling").said([unseen_attributes()] * len(kept))
    assert (answered == 0).all()


def test_a_garment_is_asked_only_where_the_labels_settle_it(kept: Cases) -> None:
    dress, t_shirt = (asked_of(kept, label) for label in ("dress", "t_shirt"))
    streets = kept.among(CCP, STANFORD)
    assert streets[dress.rows].all()
    assert len(dress.rows) == streets.sum()
    trousers = asked_of(kept, "trousers")  # jeans leave it open; so does a T-shirt
    assert len(trousers.rows) < len(t_shirt.rows) == streets.sum()
    apart = {one.label: one for one in questions.of_clothes(kept, CCP)}
    assert (kept.kind[apart["dress"].rows] == CCP).all()


# Figures ------------------------------------------------------------------------------


def measured(kept: Cases, chances: Floats) -> Judge:
    found = [smiling(float(chance)) for chance in chances]
    return Judge(found, HALF, resampled(len(kept), draws=50))


def test_a_score_is_what_one_works_out_by_hand(kept: Cases) -> None:
    smiles = kept.says("Smiling", value=True)
    asked = asked_of(kept, "Smiling")
    # Every smile is seen, with 0.9; of what is none, every second is taken for one.
    none = np.flatnonzero(kept.among(CELEBA) & ~smiles)
    chances = np.where(smiles, 0.9, 0.1)
    chances[none[::2]] = 0.9
    score = measured(kept, chances).score(asked)
    assert score.auc[0] == pytest.approx(0.75)
    assert score.balanced_accuracy[0] == pytest.approx(0.75)
    assert score.accuracy == pytest.approx(0.75)
    assert score.base == score.majority_accuracy == pytest.approx(0.5)
    # Of those said 0.9 (three quarters) two thirds came; of those said 0.1 none.
    error = 0.75 * (0.9 - 2 / 3) + 0.25 * 0.1
    assert score.calibration_error == pytest.approx(error)
    told = score.as_json()
    assert told["positives"] == labelled.VALIDATION / 2
    assert told["auc"]["low"] < 0.75 < told["auc"]["high"]


def test_labels_with_few_positives_are_left_out(kept: Cases) -> None:
    judge = measured(kept, np.full(len(kept), 0.5))
    asked = asked_of(kept, "Smiling")
    few = asked.among(np.cumsum(kept.says("Smiling", value=True)) < 10)
    assert judge.scores([few]) == []
    assert attributes.section([]) == {"means": None, "labels": []}


def test_a_group_that_is_told_worse_is_named(kept: Cases) -> None:
    smiles = kept.says("Smiling", value=True)
    men = kept.says("Male", value=True)
    judge = measured(kept, np.where(men, 0.5, np.where(smiles, 0.9, 0.1)))
    found = attributes.by_group(judge, kept)
    assert found["compared"] == ["Smiling"]
    of = found["groups"]
    assert of["men"]["means"]["auc"]["value"] == 0.5
    assert of["women"]["means"]["auc"]["value"] == 1
    # Half of each kind are men: of four pairs one is of two men, two are mixed.
    assert of["everybody"]["means"]["auc"]["value"] == pytest.approx(0.875, abs=0.01)
    (smiles_of_men,) = of["men"]["labels"]
    assert smiles_of_men["photos"] == men.sum()
    assert smiles_of_men["balanced_accuracy"]["value"] == 0.5
    named = {(one["group"], one["label"]) for one in found["below"]}
    assert named == {("men", "Smiling"), ("men", attributes.MEAN)}


def test_nobody_is_named_where_all_are_told_alike(kept: Cases) -> None:
    smiles = kept.says("Smiling", value=True)
    found = attributes.by_group(measured(kept, np.where(smiles, 0.9, 0.1)), kept)
    assert found["below"] == []


def test_lower_halves_count_the_facial_attributes_that_are_not_visible(
    kept: Cases,
) -> None:
    rows = np.flatnonzero(kept.among(LOWER_HALF))
    found: list[Attributes] = [unseen_attributes()] * len(kept)
    found[rows[0]] = smiling(0.9)  # one of five attributes of one photo
    judge = Judge(found, HALF, resampled(len(kept), draws=50))
    told = attributes._unseen(judge, kept)
    assert told is not None
    assert told["value"] == pytest.approx(1 - 1 / (5 * len(rows)))
    assert told["attributes"]["expression"] == pytest.approx(1 - 1 / len(rows))
    assert told["attributes"]["makeup"] == 1


# Reading without keeping --------------------------------------------------------------


def install(patch: pytest.MonkeyPatch, *outcomes: object) -> Scripted:
    annotator = Scripted(*outcomes)  # type: ignore[arg-type]
    patch.setattr(unkept, "get_annotator", lambda _: annotator)
    return annotator


def test_photos_that_cannot_be_read_show_nothing_and_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, PermanentError("refused"), plain_reading())
    photos = [photo_bytes(1), b"no photo", photo_bytes(2), photo_bytes(3)]
    seen = services.read_unkept("fake", photos)
    assert seen.failed == {"not-an-image": 1, "refused": 1}
    assert seen.features is not None
    assert seen.features.any(axis=1).tolist() == [False, False, True, True]
    assert seen.attributes[0] == unseen_attributes()


def test_progress_is_told_batch_by_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unkept, "batch_size", lambda _: 2)
    annotator, steps = install(monkeypatch), list[int]()
    services.read_unkept("fake", [photo_bytes(i) for i in range(5)], step=steps.append)
    assert steps == annotator.seen == [2, 2, 1]


@pytest.mark.parametrize(
    "fault", [TransientError("no answer"), BackendUnavailableError("no GPU, no answer")]
)
def test_an_annotator_that_cannot_read_now_ends_it(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def fail() -> None:
        raise fault

    install(monkeypatch).meanwhile = fail
    with pytest.raises(UnavailableError, match="no answer"):
        services.read_unkept("fake", [photo_bytes()])


def test_an_annotator_unheard_of_reads_nothing() -> None:
    with pytest.raises(NotFoundError):
        services.read_unkept("nobody", [photo_bytes()])


def test_an_annotator_without_features_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = plain_reading()
    blind = Reading(plain.attributes, plain.gates, None, 0.0)
    install(monkeypatch, blind)
    assert services.read_unkept("fake", [photo_bytes()]).features is None


def test_only_our_own_weights_have_a_known_training() -> None:
    assert services.training_facts("fake") is None
    facts = services.training_facts("small")
    assert facts is not None
    assert facts["parameters"] > 0
    assert "calibration" not in json.dumps(list(facts))
