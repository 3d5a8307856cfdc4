"""Labelled photos as they are read: each once, whatever it is called, and paid for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from annotation import services
from annotation.backends.base import (
    BackendUnavailableError,
    Call,
    PermanentError,
    TransientError,
)
from annotation.calibration.fitting import Example, fold_of
from annotation.calibration.labels import LabelsError, parse
from annotation.models import Annotation, Attempt
from annotation.schema import Verdict
from annotation.services import BudgetSpentError, asking
from annotation.services.labelling import examples
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, reading
from tests.conftest import MakePhoto, photo_bytes

PAID = Call(0.5, provider="somewhere", tokens_in=900, cost_usd=0.25)
BUSY = TransientError("busy", (Call(0.1, provider="somewhere", outcome="busy"),))

Read = Callable[..., list[Example]]


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    pauses: list[float] = []
    monkeypatch.setattr(asking, "sleep", pauses.append)
    return pauses


@pytest.fixture
def read(db: None, tmp_path: Path) -> Read:
    """The examples that lines of labels make, beside a folder of files."""

    def examples_of(*lines: str, corrections: bool = False) -> list[Example]:
        labels = parse(["photo,attribute,value\n", *(f"{line}\n" for line in lines)])
        return examples(
            "fake", labels, folder=tmp_path, corrections=corrections, step=steps.append
        )

    steps: list[int] = []
    return examples_of


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Names of four image files."""
    names = [f"{number}.png" for number in range(4)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(photo_bytes(500 + number))
    return names


def red(*photos: object) -> list[str]:
    return [f"{photo},hair_color,red" for photo in photos]


@pytest.fixture
def photo(alice: Profile, make_photo: MakePhoto) -> Photo:
    """A photo that has been read, made of `photo_bytes(7)`."""
    photo = make_photo(alice, seed=7)
    services.annotate([Annotation.objects.get(photo=photo).pk])
    return photo


# One photo is one photo ---------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        str.upper,
        lambda key: key.replace("-", ""),
        "{{{}}}".format,
        "urn:uuid:{}".format,
    ],
)
def test_a_photo_under_two_spellings_of_its_id_is_labelled_twice(
    read: Read, photo: Photo, spelling: Callable[[str], str]
) -> None:
    key = str(photo.pk)
    with pytest.raises(LabelsError, match="Line 3 labels what line 2 has") as refusal:
        read(*red(key, spelling(key)))
    assert key not in str(refusal.value)


@pytest.mark.parametrize("spelling", ["./0.png", "../{folder}/0.png", "copy.png"])
def test_a_file_under_two_paths_is_labelled_twice(
    read: Read, files: Sequence[str], tmp_path: Path, spelling: str
) -> None:
    (tmp_path / "copy.png").write_bytes((tmp_path / files[0]).read_bytes())
    with pytest.raises(LabelsError, match="It is the same photo by its bytes"):
        read(*red(files[0], spelling.format(folder=tmp_path.name)))
    assert not Attempt.objects.exists()  # nothing was read, nothing paid


def test_a_photo_by_its_id_and_by_its_path_is_labelled_twice(
    read: Read, photo: Photo, tmp_path: Path
) -> None:
    (tmp_path / "same.png").write_bytes(photo_bytes(7))
    with pytest.raises(LabelsError, match="Line 3 labels what line 2 has labelled"):
        read(*red(photo.pk, "same.png"))


def test_its_names_say_different_things_of_one_example(
    read: Read, photo: Photo, tmp_path: Path, script: Script
) -> None:
    (tmp_path / "same.png").write_bytes(photo_bytes(7))
    annotator = script()
    found = read(f"{photo.pk},hair_color,red", "same.png,objects,dog")
    assert [set(example.labels) for example in found] == [{"hair_color", "objects"}]
    assert found[0].fold == fold_of(photo.sha256)
    assert annotator.seen == []  # what has been read is not paid again


def test_equal_files_are_read_once(
    read: Read, files: Sequence[str], tmp_path: Path, script: Script
) -> None:
    (tmp_path / "copy.png").write_bytes((tmp_path / files[0]).read_bytes())
    annotator = script()
    found = read(f"{files[0]},hair_color,red", "copy.png,objects,dog")
    assert [set(example.labels) for example in found] == [{"hair_color", "objects"}]
    assert annotator.seen == [1]


def test_photos_of_the_same_bytes_are_in_one_fold(
    read: Read, alice: Profile, photo: Photo, make_person: Callable[[], Profile],
    make_photo: MakePhoto, tmp_path: Path,
) -> None:  # fmt: skip
    other = make_photo(make_person(), seed=7)
    services.annotate([Annotation.objects.get(photo=other).pk])
    services.correct(
        other, attribute="objects", values=["dog"], reason="one", moderator=None
    )
    (both,) = read(*red(photo.pk), corrections=True)
    assert both.labels == {"hair_color": {"red"}, "objects": {"dog"}}


def test_a_photo_that_is_not_there_is_named_by_its_line(read: Read) -> None:
    with pytest.raises(LabelsError, match="Line 2: fake:fake-1 has not read"):
        read(*red(uuid.UUID(int=1)))


def test_of_somebody_who_may_be_under_age_nothing_is_learned(
    read: Read, files: Sequence[str], script: Script
) -> None:
    script(reading(adults=Verdict.FAIL))
    (example,) = read(*red(files[0]))
    assert example.reading.answer("hair_color") is None


# Paid, entered, tried again -----------------------------------------------------------


def tries() -> list[tuple[str, int]]:
    return list(Attempt.objects.order_by("pk").values_list("outcome", "retry"))


def test_every_file_that_is_read_is_in_the_ledger(
    read: Read, files: Sequence[str], script: Script
) -> None:
    script(replace(reading(), calls=(PAID,)), replace(reading(), calls=(PAID, PAID)))
    read(*red(*files[:2]))
    assert tries() == [("done", 0), ("done", 0), ("done", 1)]
    assert {a.provider for a in Attempt.objects.all()} == {"somewhere"}
    assert sum(a.cost_usd for a in Attempt.objects.all()) == 0.75


def test_a_busy_moment_is_waited_out(
    read: Read, files: Sequence[str], script: Script, slept: list[float]
) -> None:
    annotator = script(BUSY, reading(), BUSY)
    assert len(read(*red(*files[:2]))) == 2
    assert annotator.seen == [2, 1, 1]
    assert slept == [0.0, 1.0, 2.0]
    assert tries() == [("busy", 0), ("done", 0), ("busy", 1), ("done", 2)]


def test_a_batch_that_fails_as_a_whole_is_waited_out(
    read: Read, files: Sequence[str], script: Script
) -> None:
    annotator = script()
    failures = [BUSY, BUSY]

    def fail_twice() -> None:
        if failures:
            raise failures.pop()

    annotator.meanwhile = fail_twice
    assert len(read(*red(*files))) == 4
    assert annotator.seen == [4, 4, 4]


def test_a_server_that_stays_busy_is_left_after_a_minute(
    read: Read, files: Sequence[str], script: Script, slept: list[float]
) -> None:
    script(*[BUSY] * 100)
    with pytest.raises(
        LabelsError, match=r"Lines 2, 3: still not read .* \(busy\)\. Try again later"
    ):
        read(*red(*files[:2]))
    assert sum(slept) == 63
    assert len(tries()) == 2 * 7


def test_all_photos_to_be_left_out_are_named_at_once(
    read: Read, files: Sequence[str], script: Script
) -> None:
    refused = PermanentError("refused")
    script(refused, reading(), PermanentError("not-an-image"), refused)
    with pytest.raises(
        LabelsError, match=r"Lines 2, 4, 5: .* \(not-an-image, refused\)\. Leave it out"
    ):
        read(*red(*files))


def test_it_stops_before_the_budget_is_overspent(
    read: Read,
    files: Sequence[str],
    script: Script,
    priced: Callable[[float], None],
    settings: object,
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.6  # type: ignore[attr-defined]
    priced(0.25)
    annotator = script(*[replace(reading(), calls=(PAID,))] * 4)
    with pytest.raises(BudgetSpentError, match="TWINBY_DAILY_BUDGET_USD"):
        read(*red(*files))
    assert annotator.seen == [2]
    assert sum(a.cost_usd for a in Attempt.objects.all()) == 0.5


def test_what_a_crash_may_have_cost_is_in_the_ledger(
    read: Read, files: Sequence[str], script: Script, priced: Callable[[float], None]
) -> None:
    priced(0.25)
    script(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        read(*red(*files))
    assert tries() == [("lost", 0)] * 4
    assert sum(a.cost_usd for a in Attempt.objects.all()) == 1


def test_the_tries_that_found_a_server_missing_are_in_the_ledger(
    read: Read, files: Sequence[str], script: Script
) -> None:
    call = Call(0.1, provider="somewhere", outcome="unauthorized")
    script(BackendUnavailableError("A key is needed.", [(call,)]))
    with pytest.raises(BackendUnavailableError, match="A key"):
        read(*red(*files))
    assert tries() == [("unauthorized", 0)]
