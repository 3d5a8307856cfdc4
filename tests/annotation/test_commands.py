"""manage annotate and manage annotatephotos."""

from __future__ import annotations

import io
import json
import signal
import threading
from collections.abc import Sequence
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
)
from annotation.backends.fake import FakeAnnotator
from annotation.management.commands import annotate
from annotation.models import Annotation, Attempt
from annotation.schema import SCHEMA, problems
from profiles.models import Profile
from tests.annotation.scripted import Script
from tests.conftest import MakePhoto, photo_bytes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos, one file that is none, one that is no photo by name."""
    photos = tmp_path / "photos"
    (photos / "inner").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.png", "inner/c.png")):
        (photos / name).write_bytes(photo_bytes(number))
    (photos / "broken.jpg").write_bytes(b"not a photo")
    (photos / "notes.txt").write_text("nothing to see")
    return photos


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_photos_are_read_without_a_database(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    call_command("annotatephotos", str(folder), jsonl=str(out), stderr=io.StringIO())
    read = {Path(line["file"]).name: line for line in lines(out)}
    assert set(read) == {"a.png", "b.png", "broken.jpg", "c.png"}
    assert read["broken.jpg"]["error"] == "not-an-image"
    for name in ("a.png", "b.png", "c.png"):
        assert len(read[name]["features"]) == 512
        assert set(read[name]["attributes"]) == {a.name for a in SCHEMA}
        assert problems(read[name]["attributes"]) == []
        assert set(read[name]["gates"].values()) == {"unknown"}
        assert read[name]["seconds"] >= 0
        assert read[name]["source"] == "probabilities"
    assert {line["annotator"] for line in read.values()} == {"fake:fake-1"}


def test_a_single_file_goes_to_stdout(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("annotatephotos", str(folder / "a.png"), stderr=io.StringIO())
    assert json.loads(capsys.readouterr().out)["file"].endswith("a.png")


@pytest.mark.parametrize(
    ("paths", "backend", "says"),
    [
        (["/nowhere"], None, "no /nowhere"),
        (["x" * 300], None, "xxx: File name too long"),
        (["."], "oracle", "there are fake, .*small"),
    ],
)
def test_it_says_what_is_wrong(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    paths: list[str],
    backend: str | None,
    says: str,
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(CommandError, match=says):
        call_command("annotatephotos", *paths, backend=backend)


@pytest.mark.parametrize("out", ["nowhere/out.jsonl", "inner"])
def test_a_result_that_cannot_be_written_is_refused_before_anything_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delattr(FakeAnnotator, "read")
    with pytest.raises(CommandError, match=f"{out} cannot be written"):
        call_command("annotatephotos", "a.png", jsonl=out)


def test_no_empty_result_stays_where_nothing_can_be_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(annotator: FakeAnnotator, photos: Sequence[bytes]) -> None:
        raise BackendUnavailableError("No GPU.")

    monkeypatch.setattr(FakeAnnotator, "read", away)
    out = tmp_path / "out.jsonl"
    with pytest.raises(CommandError, match="No GPU"):
        call_command("annotatephotos", str(folder), jsonl=str(out))
    assert not out.exists()


def test_what_cannot_be_read_loses_nothing_else(folder: Path, tmp_path: Path) -> None:
    (folder / "album.jpg").mkdir()
    (folder / "gone.jpg").symlink_to("nowhere")
    out = tmp_path / "out.jsonl"
    call_command("annotatephotos", str(folder), jsonl=str(out), stderr=io.StringIO())
    errors = {Path(line["file"]).name: line.get("error") for line in lines(out)}
    assert errors == {
        "a.png": None,
        "album.jpg": "unreadable-file",
        "b.png": None,
        "broken.jpg": "not-an-image",
        "c.png": None,
        "gone.jpg": "unreadable-file",
    }


def test_a_batch_that_fails_loses_no_other_batch(
    folder: Path, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FakeAnnotator.read

    def busy_at_first(
        annotator: FakeAnnotator, photos: Sequence[bytes]
    ) -> list[Reading | AnnotationError]:
        monkeypatch.setattr(FakeAnnotator, "read", read)
        raise TransientError("out-of-memory")

    monkeypatch.setattr(FakeAnnotator, "read", busy_at_first)
    settings.ANNOTATION_BATCH = 1
    out = tmp_path / "out.jsonl"
    files = [str(folder / name) for name in ("a.png", "b.png")]
    call_command("annotatephotos", *files, jsonl=str(out), stderr=io.StringIO())
    assert [line.get("error") for line in lines(out)] == ["out-of-memory", None]


def test_the_sweep_asks_for_what_was_never_read(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photo(alice)
    Annotation.objects.all().delete()
    call_command("annotate", "--queue")
    assert json.loads(capsys.readouterr().out) == {"queued": 1}
    assert Annotation.objects.pending().count() == 1


@pytest.mark.django_db(transaction=True)
def test_annotate_reads_all_and_says_what_it_did(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        make_photo(alice, seed=seed)
    call_command("annotate", "--workers", "1")
    answer = json.loads(capsys.readouterr().out)
    assert answer.pop("seconds") > 0
    assert answer.pop("failures") == {}
    assert answer == {"read": 2, "failed": 0, "copied": 0, "left": 0}


@pytest.mark.django_db(transaction=True)
def test_nothing_is_counted_before_the_first_photo_is_read(
    alice: Profile,
    make_photo: MakePhoto,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_photo(alice)
    been_read, left, read = threading.Event(), services.Run.left, FakeAnnotator.read

    def left_after_reading(run: services.Run) -> int:
        assert been_read.wait(10)
        return left(run)

    def tell(
        annotator: FakeAnnotator, photos: Sequence[bytes]
    ) -> list[Reading | AnnotationError]:
        been_read.set()
        return read(annotator, photos)

    monkeypatch.setattr(services.Run, "left", left_after_reading)
    monkeypatch.setattr(FakeAnnotator, "read", tell)
    call_command("annotate")
    assert json.loads(capsys.readouterr().out)["read"] == 1


@pytest.mark.django_db(transaction=True)
def test_another_back_end_reads_beside_the_active_one(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    make_photo(alice)
    call_command("annotate", "--backend", "small", "--workers", "1")
    assert json.loads(capsys.readouterr().out)["read"] == 1
    rows = dict(Annotation.objects.values_list("backend", "status"))
    assert rows == {"fake": "pending", "small": "done"}


@pytest.mark.django_db(transaction=True)
def test_a_run_that_reads_nothing_says_why_and_fails(
    alice: Profile,
    make_photo: MakePhoto,
    script: Script,
    capsys: pytest.CaptureFixture[str],
) -> None:
    make_photo(alice)
    script(PermanentError("refused"))
    with pytest.raises(SystemExit) as end:
        call_command("annotate", "--workers", "1")
    assert end.value.code == 1
    assert json.loads(capsys.readouterr().out)["failures"] == {"refused": 1}


def test_one_wish_to_end_that_comes_twice_is_one_wish(
    monkeypatch: pytest.MonkeyPatch, db: None
) -> None:
    run = services.Run()
    with annotate.ended_by_signals(run):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # passed on by whoever started us
        assert run.reason == annotate.INTERRUPTED
        monkeypatch.setattr(annotate, "ECHO_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--backend", "oracle"], "there are"),
        (["--queue", "--backend", "small"], "the active annotator"),
        (["--since", "yesterday"], "no day such as 2026-11-21"),
        (["--workers", "0"], "no number from 1 to 24"),
        (["--workers", "1000"], "no number from 1 to 24"),
        (["--limit", "-1"], "no number of photos"),
        (["--limit", "0"], "no number of photos"),
        (["--queue", "--older-than", "nan"], "no number of seconds"),
    ],
)
@pytest.mark.django_db
def test_annotate_says_what_is_wrong(options: list[str], says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("annotate", *options)


@pytest.mark.parametrize("days", ["nan", "1e9", "0", "-1", "soon"])
def test_costs_says_what_is_wrong(days: str) -> None:
    with pytest.raises(CommandError, match="no number of days"):
        call_command("costs", "--days", days)


@pytest.mark.django_db(transaction=True)
def test_a_limit_below_what_is_pending_is_kept(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        make_photo(alice)
    call_command("annotate", "--limit", "2")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["read"], answer["left"]) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_what_has_failed_is_read_again_where_that_is_wanted(
    alice: Profile, make_photo: MakePhoto, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        make_photo(alice)
    Annotation.objects.update(status="failed", failure="rejected", attempts=8)
    call_command("annotate")
    assert json.loads(capsys.readouterr().out)["read"] == 0
    call_command("annotate", "--failed")
    answer = json.loads(capsys.readouterr().out)
    assert (answer["read"], answer["left"]) == (3, 0)
    assert set(Annotation.objects.values_list("failure", "attempts")) == {("", 1)}


@pytest.fixture
def ledger(db: None) -> None:
    """Four photos read by a server, and one try of our own that failed."""
    for _ in range(4):
        Attempt.objects.create(
            backend="remote",
            model="vl-8b",
            provider="first",
            outcome="done",
            tokens_in=900,
            seconds=0.036,
            cost_usd=0.0001,
        )
    Attempt.objects.create(backend="local", model="vl-2b", outcome="refused")


def test_costs_are_a_table(ledger: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("costs")
    heading, local, remote = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["back", "end", "model", "provider"]
    assert remote.split() == [
        *("remote", "vl-8b", "first", "4", "0", "4", "0"),
        *("3,600", "0", "0", "0.0004", "10.00", "1.00"),
    ]
    assert local.split()[-2:] == ["-", "-"]
    assert len(heading) == len(remote) == len(local), "columns are aligned"


def test_costs_are_json_lines(ledger: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("costs", "--json")
    local, remote = map(json.loads, capsys.readouterr().out.splitlines())
    assert remote["usd_per_100k"] == pytest.approx(10)
    assert remote["hours_per_100k"] == pytest.approx(1)
    assert (remote["photos"], remote["cost_usd"]) == (4, 0.0004)
    assert (local["failures"], local["usd_per_100k"]) == (1, None)
