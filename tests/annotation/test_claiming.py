"""Who reads which photo: leases that are kept, lost, run out, and given back."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Sequence

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from dramatiq.errors import Retry

from annotation import services, tasks
from annotation.backends.base import (
    AnnotatorVersion,
    BackendUnavailableError,
    Reading,
    TransientError,
)
from annotation.models import Annotation, AnnotationQuerySet, Attempt
from annotation.services import claiming
from annotation.services import reading as reading_service
from annotation.services.reading import HourlyWarning
from profiles import services as people
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, Scripted, reading, row_of
from tests.conftest import MakePhoto

PATIENCE_SECONDS = 10.0


def claim(limit: int = 10) -> claiming.Claim:
    return claiming.claim(claiming.due("fake"), backend="fake", limit=limit)


def lease_ran_out(photo: Photo) -> None:
    """What a worker leaves behind that was killed a while ago."""
    past = timezone.now() - dt.timedelta(seconds=1)
    Annotation.objects.filter(photo=photo).update(leased_until=past)


def test_a_claim_counts_the_attempt_and_holds_the_photo(photo: Photo) -> None:
    claimed = claim()
    row = row_of(photo)
    assert [r.pk for r in claimed.rows] == [row.pk]
    assert row.lease == claimed.lease
    assert row.attempts == 1
    assert row.leased_until is not None
    assert timezone.now() < row.leased_until <= timezone.now() + claiming.LEASE


def test_what_somebody_holds_nobody_else_can_claim(photo: Photo) -> None:
    assert claim().rows
    assert not claim().rows
    assert row_of(photo).attempts == 1


def test_a_claim_takes_no_more_than_it_wants(
    alice: Profile, make_photo: MakePhoto
) -> None:
    for _ in range(3):
        make_photo(alice)
    assert len(claim(2).rows) == 2
    assert len(claim(2).rows) == 1


def test_a_message_that_finds_its_photo_held_comes_back_without_a_counted_attempt(
    photo: Photo, script: Script
) -> None:
    annotator = script()
    claim()
    with pytest.raises(services.LeasedError):
        services.annotate([row_of(photo).pk])
    with pytest.raises(Retry) as retry:
        tasks.annotate.fn([row_of(photo).pk])
    assert retry.value.delay == tasks.LEASED_PAUSE_MS
    assert annotator.seen == []
    assert row_of(photo).attempts == 1


def test_a_dead_workers_photo_is_read_once_its_lease_has_run_out(
    photo: Photo, script: Script
) -> None:
    script()
    claim()
    lease_ran_out(photo)
    assert services.annotate([row_of(photo).pk]) == 1
    assert row_of(photo).status == Annotation.Status.DONE
    assert row_of(photo).attempts == 2
    lost, done = Attempt.objects.order_by("pk")
    assert (lost.outcome, lost.retry) == ("lost", 0)
    assert (done.outcome, done.retry) == ("done", 1)


def test_a_photo_on_its_last_attempt_is_not_closed_while_it_is_read(
    photo: Photo, script: Script
) -> None:
    Annotation.objects.update(attempts=services.MAX_ATTEMPTS - 1)
    claim()
    with pytest.raises(services.LeasedError):
        services.annotate([row_of(photo).pk])
    lease_ran_out(photo)
    assert services.annotate([row_of(photo).pk]) == 0
    assert row_of(photo).failure == "too-many-attempts"
    assert row_of(photo).lease is None
    assert Attempt.objects.get().outcome == "lost"


def test_a_reading_is_dropped_once_somebody_else_has_taken_the_photo(
    photo: Photo, script: Script
) -> None:
    other = uuid.uuid4()
    annotator = script()
    annotator.meanwhile = lambda: Annotation.objects.update(
        lease=other, leased_until=timezone.now() + claiming.LEASE
    )
    with pytest.raises(services.LeasedError):
        services.annotate([row_of(photo).pk])
    row = row_of(photo)
    assert (row.status, row.attributes) == (Annotation.Status.PENDING, {})
    assert row.lease == other
    assert not Attempt.objects.exists(), "whoever took it has entered it as lost"


def test_nothing_is_stored_of_somebody_who_withdrew_consent_while_the_model_worked(
    photo: Photo, script: Script
) -> None:
    annotator = script()
    annotator.meanwhile = lambda: people.update_profile(photo.owner, consent=False)
    assert services.annotate([row_of(photo).pk]) == 0
    row = row_of(photo)
    assert (row.status, row.attributes) == (Annotation.Status.PENDING, {})
    assert (row.features, row.lease) == (None, None)


def test_a_photo_may_go_while_the_model_works(photo: Photo, script: Script) -> None:
    annotator = script()
    annotator.meanwhile = lambda: people.delete_photo(photo)
    assert services.annotate([row_of(photo).pk]) == 0
    assert not Annotation.objects.exists()


def test_an_interrupted_reading_leaves_nothing_claimed(
    photo: Photo, script: Script
) -> None:
    script(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).lease is None


def test_a_crash_of_the_model_frees_the_photo_and_is_in_the_ledger(
    photo: Photo, script: Script
) -> None:
    script(RuntimeError("a kernel failed"))
    with pytest.raises(RuntimeError):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).lease is None
    assert Attempt.objects.get().outcome == "annotator-broke"


def test_a_back_end_that_cannot_work_here_says_so_once_and_costs_no_attempt(
    photo: Photo,
    script: Script,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading_service, "warn", HourlyWarning())
    for _ in range(2):
        script(BackendUnavailableError("It needs 20 GB of GPU memory."))
        assert services.annotate([row_of(photo).pk]) == 0
    row = row_of(photo)
    assert (row.status, row.attempts) == (Annotation.Status.PENDING, 0)
    assert row.lease is None
    assert caplog.messages == ["It needs 20 GB of GPU memory."]
    assert not Attempt.objects.exists()


def test_a_worker_of_another_release_claims_nothing(
    photo: Photo, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    script()
    other = AnnotatorVersion("fake", "fake-0")
    monkeypatch.setattr(Scripted, "version", other)
    with pytest.raises(TransientError, match="another-version"):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).attempts == 0


# While the model works, over a real database ------------------------------------------


class Slow(Scripted):
    """Reads until it is told to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.done = threading.Event(), threading.Event()

    def read(self, photos: Sequence[bytes]) -> list[Reading]:  # type: ignore[override]
        self.started.set()
        assert self.done.wait(PATIENCE_SECONDS)
        return [reading() for _ in photos]


class Elsewhere(threading.Thread):
    """Another worker, which reads these rows over a connection of its own."""

    def __init__(self, ids: Sequence[int]) -> None:
        super().__init__(daemon=True)
        self.ids = ids
        self.recorded = 0
        self.start()

    def run(self) -> None:
        try:
            self.recorded = services.annotate(self.ids)
        except services.LeasedError:
            self.recorded = 0
        finally:
            connection.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    annotator = Slow()
    monkeypatch.setattr(
        "annotation.services.reading.get_annotator", lambda _: annotator
    )
    return annotator


@pytest.mark.django_db(transaction=True)
def test_a_slow_model_keeps_its_photos_for_as_long_as_it_takes(
    photo: Photo, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "LEASE", dt.timedelta(seconds=0.5))
    monkeypatch.setattr(claiming, "RENEW_SECONDS", 0.1)
    elsewhere = Elsewhere([row_of(photo).pk])
    assert slow.started.wait(PATIENCE_SECONDS)
    time.sleep(1.2)  # more than two leases
    assert not claim().rows
    slow.done.set()
    elsewhere.join()
    assert elsewhere.recorded == 1
    assert row_of(photo).status == Annotation.Status.DONE


@pytest.mark.django_db(transaction=True)
def test_a_renewal_that_fails_is_tried_again(
    photo: Photo,
    slow: Slow,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(claiming, "LEASE", dt.timedelta(seconds=0.6))
    monkeypatch.setattr(claiming, "RENEW_SECONDS", 0.1)
    ours, beats = claiming.Claim.ours, iter([True])

    def fail_once(claimed: claiming.Claim) -> AnnotationQuerySet:
        if next(beats, False):
            raise OperationalError("the server closed the connection")
        return ours(claimed)

    monkeypatch.setattr(claiming.Claim, "ours", fail_once)
    elsewhere = Elsewhere([row_of(photo).pk])
    assert slow.started.wait(PATIENCE_SECONDS)
    time.sleep(1.2)
    slow.done.set()
    elsewhere.join()
    assert elsewhere.recorded == 1
    assert caplog.messages == ["A lease could not be renewed: OperationalError"]


@pytest.mark.django_db(transaction=True)
def test_without_a_heartbeat_the_photo_goes_to_somebody_else(
    photo: Photo, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "LEASE", dt.timedelta(seconds=0.2))
    elsewhere = Elsewhere([row_of(photo).pk])
    assert slow.started.wait(PATIENCE_SECONDS)
    time.sleep(0.4)
    ours = claim()
    assert ours.rows
    slow.done.set()
    elsewhere.join()
    assert elsewhere.recorded == 0
    assert row_of(photo).lease == ours.lease


@pytest.mark.django_db(transaction=True)
def test_erasing_a_person_does_not_wait_for_the_model(photo: Photo, slow: Slow) -> None:
    elsewhere = Elsewhere([row_of(photo).pk])
    assert slow.started.wait(PATIENCE_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '2s'")
    people.erase_profile(photo.owner)
    assert not slow.done.is_set()
    slow.done.set()
    elsewhere.join()
    assert elsewhere.recorded == 0
    assert not Annotation.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_slow_model_keeps_no_connection_from_others(photo: Photo, slow: Slow) -> None:
    open_now = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    )
    elsewhere = Elsewhere([row_of(photo).pk])
    assert slow.started.wait(PATIENCE_SECONDS)
    deadline, found = time.monotonic() + PATIENCE_SECONDS, None
    with connection.cursor() as cursor:
        while found != (1,) and time.monotonic() < deadline:  # a server takes a moment
            cursor.execute(open_now)
            found = cursor.fetchone()
    assert found == (1,)
    slow.done.set()
    elsewhere.join()
