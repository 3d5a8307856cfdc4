"""A whole base: read once, by as many as want to, whatever ends in the middle."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from annotation import services
from annotation.backends.base import (
    BackendUnavailableError,
    Call,
    PermanentError,
    TransientError,
)
from annotation.models import Annotation, Attempt
from annotation.services import claiming, running
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, reading, row_of
from tests.annotation.slow import DIARY, SECONDS
from tests.conftest import MakePhoto

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = 24
PATIENCE_SECONDS = 45.0


@pytest.fixture
def photos(alice: Profile, make_photo: MakePhoto, settings: Any) -> list[Photo]:
    settings.PHOTOS_PER_PERSON = PHOTOS
    made = [make_photo(alice) for _ in range(PHOTOS)]
    Annotation.objects.all().delete()  # nobody has asked for them yet
    return made


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "PAUSES_SECONDS", (0.01,))


def statuses() -> Counter[str]:
    return Counter(Annotation.objects.values_list("status", flat=True))


def test_a_run_reads_all_that_nobody_has_read(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 5
    annotator = script()
    services.request([photos[0].pk])
    steps: list[int] = []
    result = services.Run().run(steps.append)
    assert (result.read, result.failed, result.copied) == (PHOTOS, 0, 0)
    assert (result.left, result.reason) == (0, "")
    assert sum(annotator.seen) == sum(steps) == PHOTOS
    assert max(annotator.seen) == 5
    assert statuses() == {"done": PHOTOS}


def test_a_run_again_has_nothing_to_do(photos: list[Photo], script: Script) -> None:
    services.Run().run()
    annotator = script()
    assert services.Run().run().read == 0
    assert annotator.seen == []


@pytest.mark.parametrize("asked_for", [0, PHOTOS])
def test_a_limit_is_kept_and_says_what_is_left(
    photos: list[Photo], script: Script, settings: Any, asked_for: int
) -> None:
    settings.ANNOTATION_BATCH = 4
    services.request([photo.pk for photo in photos[:asked_for]])
    annotator = script(PermanentError("refused"))
    result = services.Run(limit=7).run()
    assert (result.read, result.failed, result.left) == (6, 1, PHOTOS - 7)
    assert sum(annotator.seen) == 7


def test_only_photos_since_a_day_are_read(photos: list[Photo], script: Script) -> None:
    old = [photo.pk for photo in photos[:20]]
    Photo.objects.filter(pk__in=old).update(
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    )
    services.request(old[:3])
    since = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    result = services.Run(since=since).run()
    assert (result.read, result.left) == (4, 0)
    assert statuses() == {"done": 4, "pending": 3}


def test_photos_of_people_without_consent_are_not_read(
    photos: list[Photo], script: Script
) -> None:
    Profile.objects.update(consented_at=None)
    result = services.Run().run()
    assert (result.read, result.left) == (0, 0)
    assert not Annotation.objects.exists()


def test_photos_that_come_during_a_run_are_left_to_the_workers(
    photos: list[Photo], script: Script
) -> None:
    run = services.Run()
    late = photos[:4]
    Photo.objects.filter(pk__in=[photo.pk for photo in late]).update(
        created_at=run.until + dt.timedelta(seconds=1)
    )
    services.request([photo.pk for photo in late])
    result = run.run()
    assert (result.read, result.left) == (PHOTOS - 4, 0)
    assert statuses() == {"done": PHOTOS - 4, "pending": 4}


def test_a_run_stops_when_nothing_can_be_read(
    photos: list[Photo],
    script: Script,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "HOPELESS", 6)
    settings.ANNOTATION_BATCH = 3
    script(*[PermanentError("refused")] * 4, *[PermanentError("off-schema")] * 100)
    result = services.Run(workers=1).run()
    assert (result.failed, result.left) == (6, PHOTOS - 6)
    assert result.failures == {"refused": 4, "off-schema": 2}
    assert "None of the first photos" in result.reason


def test_transient_errors_are_waited_out(photos: list[Photo], script: Script) -> None:
    script(*[TransientError("busy")] * 20)
    result = services.Run(workers=1).run()
    assert (result.read, result.left) == (PHOTOS, 0)
    assert Attempt.objects.filter(outcome="busy").count() == 20


def test_a_photo_that_breaks_the_model_every_time_fails_alone(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 8
    annotator = script()
    bad = photos[0]
    services.request([bad.pk])
    Annotation.objects.update(attempts=services.MAX_ATTEMPTS - 2, alone=True)

    def break_on_single_photos() -> None:
        if annotator.seen[-1] == 1:
            raise RuntimeError("a kernel failed")

    annotator.meanwhile = break_on_single_photos
    result = services.Run(workers=1).run()
    assert row_of(bad).failure == "annotator-broke"
    assert statuses() == {"done": PHOTOS - 1, "failed": 1}
    assert result.left == 0


def test_a_back_end_that_cannot_work_here_ends_the_run(
    photos: list[Photo], script: Script
) -> None:
    script(*[BackendUnavailableError("It needs a GPU.")] * 2)
    with pytest.raises(BackendUnavailableError, match="a GPU"):
        services.Run().run()
    assert statuses()["pending"] == PHOTOS
    assert not Annotation.objects.exclude(lease=None, attempts=0).exists()


def test_a_server_that_is_away_for_a_while_does_not_end_a_run(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 4
    away = [BackendUnavailableError("No server answers.")] * 3
    script(*[reading() for _ in range(4)], *away)
    result = services.Run(workers=1).run()
    assert (result.read, result.left, result.reason) == (PHOTOS, 0, "")
    assert set(Annotation.objects.values_list("attempts", flat=True)) == {1}


def test_a_server_that_is_busy_for_long_neither_ends_a_run_nor_fails_a_photo(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = PHOTOS
    busy = TransientError("busy", counted=False)
    script(*[busy] * PHOTOS * 2 * services.MAX_ATTEMPTS)
    result = services.Run(workers=1).run()
    assert (result.read, result.failed, result.left) == (PHOTOS, 0, 0)
    assert set(Annotation.objects.values_list("attempts", flat=True)) == {1}


def test_photos_that_timed_out_are_read_again_in_batches(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 8
    annotator = script(*[TransientError("timed-out")] * PHOTOS)
    services.request([photo.pk for photo in photos])
    assert services.Run(workers=1).run().read == PHOTOS
    assert annotator.seen == [8] * 6


def test_a_worker_that_gets_no_annotator_claims_nothing(
    photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.request([photo.pk for photo in photos])

    def refuse(backend: str) -> None:
        raise BackendUnavailableError("It needs a GPU.")

    monkeypatch.setattr(running, "annotator_of", refuse)
    with pytest.raises(BackendUnavailableError):
        services.Run().run()
    assert not Annotation.objects.exclude(lease=None, attempts=0).exists()
    assert not Attempt.objects.exists()


def test_what_failed_before_a_run_is_read_again_once_if_wanted(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 4
    services.request([photo.pk for photo in photos])
    Annotation.objects.update(status="failed", failure="rejected", attempts=8)
    old = Photo.objects.filter(pk__in=[photo.pk for photo in photos[:4]])
    old.update(created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    annotator = script(*[PermanentError("rejected")] * 5)
    since = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    run = services.Run(workers=1, failed=True, since=since)
    assert run.left() == PHOTOS - 4
    result = run.run()
    assert (result.read, result.failed, result.left) == (PHOTOS - 9, 5, 0)
    assert sum(annotator.seen) == PHOTOS - 4
    assert services.Run().run().read == 0


def test_a_spent_budget_ends_the_run_with_a_word(
    photos: list[Photo],
    script: Script,
    settings: Any,
    priced: Callable[[float], None],
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.1
    settings.ANNOTATION_BATCH = 4
    priced(0.01)
    paid = replace(reading(), calls=(Call(0.1, cost_usd=0.01),))
    script(*[paid] * PHOTOS)
    result = services.Run(workers=2).run()
    assert (result.read, result.left) == (10, PHOTOS - 10)
    assert "is spent" in result.reason
    assert not Annotation.objects.pending().exclude(attempts=0).exists()


def test_a_run_that_is_stopped_finishes_what_it_holds(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 4
    annotator = script()
    run = services.Run(workers=1)
    annotator.meanwhile = lambda: run.stop("enough")
    result = run.run()
    assert (result.read, result.reason) == (4, "enough")
    assert result.left == PHOTOS - 4
    assert not Annotation.objects.exclude(lease=None).exists()


def test_two_runs_at_once_read_every_photo_once(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_BATCH = 2
    annotator = script()
    annotator.meanwhile = more_reading_at_once_than(3)
    found: list[running.Result] = []

    def work() -> None:
        found.append(services.Run(workers=3).run())
        connection.close()

    runs = [threading.Thread(target=work) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sum(annotator.seen) == PHOTOS
    assert sum(result.read for result in found) == PHOTOS
    assert {result.left for result in found} == {0}
    assert all(result.read for result in found), "one of them did all the work"
    assert set(Annotation.objects.values_list("attempts", flat=True)) == {1}


def more_reading_at_once_than(workers: int) -> Callable[[], None]:
    """Holds whoever reads until so many do that one run alone cannot."""
    reading: list[None] = []
    changed = threading.Condition()

    def meanwhile() -> None:
        with changed:
            reading.append(None)
            changed.notify_all()
            assert changed.wait_for(lambda: len(reading) > workers, timeout=60)

    return meanwhile


def test_a_run_waits_for_what_a_dead_worker_held(
    photos: list[Photo], script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.request([photo.pk for photo in photos])
    monkeypatch.setattr(claiming, "LEASE", dt.timedelta(seconds=0.5))
    claiming.claim(claiming.due("fake"), backend="fake", limit=3)
    result = services.Run().run()
    assert (result.read, result.left) == (PHOTOS, 0)
    assert Attempt.objects.filter(outcome="lost").count() == 3


# Processes of their own ---------------------------------------------------------------

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    path = tmp_path / "diary"
    path.touch()
    return path


@pytest.fixture
def start(media: Path, diary: Path) -> Iterator[Start]:
    """Starts `manage …` over the test's own database, with a slow annotator."""
    at = connection.settings_dict
    database = (
        f"postgres://{at['USER']}:{at['PASSWORD']}@{at['HOST']}:{at['PORT']}"
        f"/{at['NAME']}"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.annotation.slow_settings",
        "DATABASE_URL": database,
        "TWINBY_MEDIA": str(media),
        "TWINBY_QUEUE_NAMESPACE": f"test-{os.getpid()}",
        DIARY: str(diary),
    }
    started = []

    def begin(*arguments: str, seconds: float = 0.5) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**environment, SECONDS: str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its worker processes as well
        process.communicate()


def wait(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def answer_of(process: subprocess.Popen[str], status: int = 0) -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == status, err
    answer: dict[str, Any] = json.loads(out)
    return answer


def read_by(diary: Path) -> Sequence[str]:
    lines = diary.read_text().splitlines()
    return [line for line in lines if line.startswith("read ")]


def test_two_processes_at_once_read_every_photo_once(
    photos: list[Photo], start: Start, diary: Path
) -> None:
    first, second = (start("annotate", "--workers", "1") for _ in range(2))
    answers = [answer_of(first), answer_of(second)]
    assert sum(answer["read"] for answer in answers) == PHOTOS
    assert {answer["left"] for answer in answers} == {0}
    assert len(set(read_by(diary))) == len(read_by(diary)) == PHOTOS
    assert statuses() == {"done": PHOTOS}


def test_a_run_that_is_asked_to_end_holds_nothing_and_goes_on_later(
    photos: list[Photo], start: Start, diary: Path
) -> None:
    run = start("annotate")
    assert wait(lambda: len(read_by(diary)) >= 4)
    run.send_signal(signal.SIGTERM)
    answer = answer_of(run, status=130)
    assert 0 < answer["read"] < PHOTOS
    assert answer["left"] == PHOTOS - answer["read"]
    assert not Annotation.objects.exclude(lease=None).exists()
    assert Annotation.objects.filter(attempts=1).count() == answer["read"]
    assert answer_of(start("annotate"))["left"] == 0
    assert len(set(read_by(diary))) == len(read_by(diary)) == PHOTOS


def test_a_run_that_is_killed_is_finished_by_the_next(
    photos: list[Photo], start: Start, diary: Path
) -> None:
    run = start("annotate")
    assert wait(lambda: len(read_by(diary)) >= 4)
    run.kill()
    run.wait()
    held = Annotation.objects.exclude(lease=None)
    assert held.exists(), "the kill came too late to show anything"
    held.update(leased_until=dt.datetime.now(dt.UTC))  # its fifteen seconds are over
    done = statuses()["done"]
    answer = answer_of(start("annotate"))
    assert (answer["read"], answer["left"]) == (PHOTOS - done, 0)
    assert statuses() == {"done": PHOTOS}


@pytest.mark.services
def test_a_worker_of_the_gpu_queue_settles_what_it_holds_before_it_ends(
    photos: list[Photo], start: Start, diary: Path
) -> None:
    worker = start(
        *("rundramatiq", "--queues", "gpu", "--processes", "1", "--threads", "2"),
        *("--use-spawn", "--worker-shutdown-timeout", "30000"),
        seconds=1.5,  # a worker looks once a second whether it is to end
    )
    queued = start("annotate", "--queue")
    assert answer_of(queued) == {"queued": PHOTOS}
    assert wait(lambda: "began" in diary.read_text())
    worker.terminate()
    worker.communicate(timeout=PATIENCE_SECONDS)
    began = [line for line in diary.read_text().splitlines() if "began" in line]
    assert 0 < len(began) == len(read_by(diary)) < PHOTOS
    assert diary.read_text().endswith("closed\n")
    assert statuses()["done"] == len(began)
    assert not Annotation.objects.exclude(lease=None).exists()
