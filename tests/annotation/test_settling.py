"""What was paid is written down: at deadlocks, interruptions, erasures, lost leases."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from annotation import services
from annotation.backends.base import (
    BackendUnavailableError,
    Call,
    PermanentError,
    TransientError,
)
from annotation.models import Annotation, Attempt
from annotation.schema import Verdict
from annotation.services import claiming, ledger, requesting, settling
from annotation.services.reading import HourlyWarning
from profiles import services as people
from profiles.models import Photo, Profile
from tests.annotation.scripted import Script, reading, row_of, rows_of
from tests.conftest import MakePerson, MakePhoto

Price = Callable[[float], None]
BUSY = Call(2.0, provider="first", outcome="busy")
DENIED = Call(0.1, provider="first", outcome="unauthorised", cost_usd=0.001)


def tries() -> list[tuple[str, int]]:
    return list(Attempt.objects.order_by("pk").values_list("outcome", "retry"))


@pytest.fixture
def photos(alice: Profile, make_photo: MakePhoto) -> list[Photo]:
    return [make_photo(alice, published=False) for _ in range(3)]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "PAUSES_SECONDS", (0.0, 0.0))


# Interrupted --------------------------------------------------------------------------


def test_what_was_asked_before_an_interruption_counts_as_lost_at_the_worst(
    make_person: MakePerson, make_photo: MakePhoto, script: Script, priced: Price
) -> None:
    priced(0.01)
    twins = [make_photo(make_person(), seed=7) for _ in range(2)]
    other = make_photo(make_person())
    script(reading(), KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        services.annotate(rows_of([*twins, other]))
    assert tries() == [("lost", 0)] * 2
    assert ledger.spent_today() == Decimal("0.02")
    told = [(row.lease, row.alone, row.attempts) for row in map(row_of, twins)]
    assert told == [(None, True, 1), (None, False, 0)], "the twin was not asked about"


def test_an_annotator_that_breaks_may_have_spent_the_worst(
    photo: Photo, script: Script, priced: Price
) -> None:
    priced(0.01)
    script(RuntimeError("a kernel failed"))
    with pytest.raises(RuntimeError):
        services.annotate([row_of(photo).pk])
    assert tries() == [("annotator-broke", 0)]
    assert ledger.spent_today() == Decimal("0.01")


def test_a_row_says_when_it_was_settled(photo: Photo, script: Script) -> None:
    long_ago = timezone.now() - dt.timedelta(days=1)
    Annotation.objects.update(updated_at=long_ago)
    script(reading())
    services.annotate([row_of(photo).pk])
    assert timezone.now() - row_of(photo).updated_at < dt.timedelta(minutes=1)


# A database that gives up -------------------------------------------------------------


def fail(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have so many attempts at settling end as a deadlock does."""
    left, write = iter(range(times)), settling._write

    def deadlock(rows: list[Annotation]) -> None:
        if next(left, None) is not None:
            raise OperationalError("deadlock detected")
        write(rows)

    monkeypatch.setattr(settling, "_write", deadlock)


def test_a_deadlock_loses_no_reading(
    photo: Photo, script: Script, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(2, monkeypatch)
    script()
    assert services.annotate([row_of(photo).pk]) == 1
    assert tries() == [("done", 0)]


def test_what_cannot_be_written_counts_as_lost_once_its_lease_has_run_out(
    photo: Photo,
    script: Script,
    hasty: None,
    monkeypatch: pytest.MonkeyPatch,
    priced: Price,
) -> None:
    priced(0.01)
    fail(3, monkeypatch)
    script()
    with pytest.raises(OperationalError):
        services.annotate([row_of(photo).pk])
    assert row_of(photo).lease is not None
    Annotation.objects.update(leased_until=timezone.now() - dt.timedelta(seconds=1))
    assert services.annotate([row_of(photo).pk]) == 1
    assert tries() == [("lost", 0), ("done", 1)]
    assert ledger.spent_today() == Decimal("0.01")


@pytest.mark.django_db(transaction=True)
def test_two_versions_that_quarantine_the_same_photos_do_not_deadlock(
    photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PAUSES_SECONDS", ())
    for photo in reversed(photos):  # so that their rows come the other way round
        Annotation.objects.create(
            photo=photo, backend="other", model="m", schema_version="1"
        )
    together = threading.Barrier(2)
    locked, errors = settling._locked, []

    def locked_together(claim: claiming.Claim) -> list[Annotation]:
        together.wait()
        return locked(claim)

    monkeypatch.setattr(settling, "_locked", locked_together)
    quarantine = people.quarantine

    def slowly(photo_id: uuid.UUID, *, reason: str) -> bool:
        changed = quarantine(photo_id, reason=reason)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.05)")
        return changed

    monkeypatch.setattr(people, "quarantine", slowly)

    def work(backend: str) -> None:
        rows = Annotation.objects.filter(backend=backend)
        claim = claiming.claim(rows, backend="fake", limit=3)
        try:
            settling.settle(claim, [reading(nudity=Verdict.FAIL)] * 3)
        except OperationalError as error:
            errors.append(error)
        finally:
            connection.close()

    workers = [threading.Thread(target=work, args=[b]) for b in ("fake", "other")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert errors == []
    assert Annotation.objects.done().count() == 6


@pytest.mark.django_db(transaction=True)
def test_a_photo_that_is_being_deleted_waits_for_its_reading_and_not_in_a_ring(
    photos: list[Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "PAUSES_SECONDS", ())
    claim = claiming.claim(claiming.due("fake"), backend="fake", limit=3)
    write, eraser = settling._write, threading.Thread(target=lambda: erase())

    def erase() -> None:
        people.erase_profile(photos[0].owner)
        connection.close()

    def write_while_somebody_erases(rows: list[Annotation]) -> None:
        eraser.start()
        eraser.join(0.3)  # long enough to wait for our locks
        write(rows)

    monkeypatch.setattr(settling, "_write", write_while_somebody_erases)
    settled = settling.settle(claim, [reading(nudity=Verdict.FAIL)] * 3)
    eraser.join()
    assert settled.read == 3
    assert not Annotation.objects.exists()


# Erased or withdrawn meanwhile --------------------------------------------------------


def test_photos_that_go_while_they_are_asked_for_stop_nobody(
    photos: list[Photo], make_person: MakePerson, make_photo: MakePhoto
) -> None:
    private = make_photo(make_person())
    Profile.objects.filter(pk=private.owner_id).update(consented_at=None)
    Annotation.objects.all().delete()
    ids = [photos[0].pk, uuid.uuid4(), private.pk]
    requesting._insert(ids, requesting.version_fields())
    assert [row.photo_id for row in Annotation.objects.all()] == [photos[0].pk]


# Numbers in the ledger ----------------------------------------------------------------


def test_tries_are_numbered_on_over_attempts_and_requests(
    photo: Photo, script: Script
) -> None:
    script(TransientError("busy", (BUSY,) * 3), PermanentError("refused"))
    with pytest.raises(TransientError):
        services.annotate([row_of(photo).pk])
    services.annotate([row_of(photo).pk])
    services.request([photo.pk])
    services.annotate([row_of(photo).pk])
    assert tries() == [*(("busy", n) for n in range(3)), ("refused", 3), ("done", 4)]


def test_a_copied_failure_is_a_copy_and_no_try(
    make_person: MakePerson, make_photo: MakePhoto, script: Script
) -> None:
    twins = [make_photo(make_person(), seed=7) for _ in range(2)]
    script(PermanentError("refused", (BUSY,)))
    services.annotate(rows_of(twins))
    assert tries() == [("busy", 0), ("copied", 0)]
    assert [row_of(photo).tries for photo in twins] == [1, 0]


def test_a_stalled_worker_counts_as_lost_and_not_as_done_too(
    photo: Photo, priced: Price
) -> None:
    priced(0.01)
    rows = claiming.due("fake")
    stalled = claiming.claim(rows, backend="fake", limit=1)
    rows.update(leased_until=timezone.now() - dt.timedelta(seconds=1))
    claiming.claim(rows, backend="fake", limit=1)
    assert settling.settle(stalled, [reading()]).recorded == 0
    assert tries() == [("lost", 0)]


def test_tries_that_found_no_provider_are_in_the_ledger_and_cost_no_attempt(
    photos: list[Photo], script: Script
) -> None:
    denied = [(DENIED,), (DENIED, DENIED)]
    script(BackendUnavailableError("No provider answers.", denied))
    assert services.annotate(rows_of(photos)) == 0
    assert sorted(tries()) == [
        *[("unauthorised", 0)] * 2,
        ("unauthorised", 1),
    ]
    assert ledger.spent_today() == Decimal("0.003")
    rows = Annotation.objects.values_list("attempts", "lease", "tries")
    assert sorted(rows) == [(0, None, 0), (0, None, 1), (0, None, 2)]


def test_a_busy_server_costs_a_photo_no_attempt_however_often(
    photo: Photo, script: Script
) -> None:
    for _ in range(services.MAX_ATTEMPTS + 1):
        script(TransientError("busy", (BUSY,), counted=False))
        with pytest.raises(TransientError):
            services.annotate([row_of(photo).pk])
    row = row_of(photo)
    assert (row.status, row.attempts) == (Annotation.Status.PENDING, 0)
    assert tries()[-1] == ("busy", services.MAX_ATTEMPTS)


def test_the_total_of_a_day_grows_with_the_ledger_and_can_be_made_anew(
    photos: list[Photo], script: Script
) -> None:
    paid = TransientError("busy", (DENIED,))
    script(paid, paid, paid)
    with pytest.raises(TransientError):
        services.annotate(rows_of(photos))
    assert ledger.spent_today() == Decimal("0.003")
    Attempt.objects.filter(retry=0).first().delete()  # type: ignore[union-attr]
    services.recount()
    assert ledger.spent_today() == Decimal("0.002")


# Warnings -----------------------------------------------------------------------------


def test_the_same_warning_is_given_once_an_hour(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = iter([0.0, 10.0, 3599.0, 3600.0, 3700.0, 3800.0])
    warn = HourlyWarning(clock=lambda: next(times))
    for _ in range(5):
        warn("No provider answers.")
    warn("The budget is spent.")
    assert caplog.messages == [
        *["No provider answers."] * 2,
        "The budget is spent.",
    ]


# Whole bases --------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_what_goes_through_a_whole_base_has_no_time_out() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '50ms'")
        with requesting.unhurried():
            cursor.execute("SELECT pg_sleep(0.1)")
        with pytest.raises(OperationalError, match="timeout"):
            cursor.execute("SELECT pg_sleep(0.1)")
    connection.close()  # and with it the time-out


@pytest.mark.django_db
def test_an_index_serves_claims_in_their_order() -> None:
    rows = claiming.free(claiming.due("fake")).order_by("alone", "attempts", "pk")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        # Of next to no rows any index is quick, and so is sorting them.
        cursor.execute("SET LOCAL enable_sort = off")
        cursor.execute("SET LOCAL enable_incremental_sort = off")
    plan = rows[:32].explain()
    assert "annotation_claim" in plan
    assert "Sort" not in plan
