"""The ledger: every try is a row, a day's budget holds, costs come out right."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.utils import timezone

from annotation import services
from annotation.backends.base import Call, PermanentError, TransientError
from annotation.models import Annotation, Attempt
from annotation.schema import Verdict, unseen_attributes
from annotation.services import claiming, ledger
from annotation.services import reading as reading_service
from annotation.services.reading import HourlyWarning
from profiles.models import Photo, Profile
from tests.annotation.scripted import ALL_PASS, Script, reading, row_of, rows_of
from tests.conftest import MakePhoto

Price = Callable[[float], None]
BUSY = Call(2.0, provider="first", outcome="busy", cost_usd=0.0)
PAID = Call(0.5, "second", tokens_in=900, tokens_out=40, cost_usd=0.00012)


def outcomes() -> list[tuple[str, int]]:
    return list(Attempt.objects.order_by("pk").values_list("outcome", "retry"))


def test_every_try_is_a_row(photo: Photo, script: Script) -> None:
    script(replace(reading(), calls=(BUSY, PAID)))
    services.annotate([row_of(photo).pk])
    busy, paid = Attempt.objects.order_by("pk")
    assert (busy.provider, busy.outcome, busy.retry) == ("first", "busy", 0)
    assert (paid.provider, paid.outcome, paid.retry) == ("second", "done", 1)
    assert (paid.backend, paid.model) == ("fake", "fake-1")
    assert (paid.tokens_in, paid.tokens_out, paid.seconds) == (900, 40, 0.5)
    assert paid.cost_usd == Decimal("0.00012")
    assert row_of(photo).cost_usd == Decimal("0.00012")
    assert row_of(photo).tokens == 940


def test_a_back_end_that_says_nothing_of_its_tries_made_one(
    photo: Photo, script: Script
) -> None:
    script(reading())
    services.annotate([row_of(photo).pk])
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.seconds) == ("done", 0.01)


def test_failed_tries_are_rows_as_well_and_numbered_on(
    photo: Photo, script: Script
) -> None:
    script(TransientError("busy"), PermanentError("refused", (BUSY, BUSY)))
    with pytest.raises(TransientError):
        services.annotate([row_of(photo).pk])
    services.annotate([row_of(photo).pk])
    assert outcomes() == [("busy", 0), ("busy", 1), ("busy", 2)]


def test_a_batch_that_fails_as_a_whole_counts_its_tries_once(
    alice: Profile, make_photo: MakePhoto, script: Script
) -> None:
    photos = [make_photo(alice) for _ in range(3)]
    annotator = script()
    error = TransientError("time-out", (replace(PAID, outcome="time-out"),))

    def fail() -> None:
        raise error

    annotator.meanwhile = fail
    with pytest.raises(TransientError):
        services.annotate(rows_of(photos))
    assert outcomes() == [("time-out", 0)] * 3
    assert sum(a.cost_usd for a in Attempt.objects.all()) == Decimal("0.00012")
    assert {row_of(photo).lease for photo in photos} == {None}


def test_the_last_try_of_a_reading_that_is_refused_says_why(
    photo: Photo, script: Script
) -> None:
    too_large = np.full(512, 1e6, np.float32)
    script(replace(reading(), features=too_large, calls=(BUSY, PAID)))
    services.annotate([row_of(photo).pk])
    assert outcomes() == [("busy", 0), ("features-out-of-range", 1)]
    assert Attempt.objects.get(retry=1).cost_usd == Decimal("0.00012")


# What a reading leaves in its row -----------------------------------------------------


def test_the_mass_is_stored_rounded(photo: Photo, script: Script) -> None:
    script(replace(reading(), mass={"setting": 0.98765432}))
    services.annotate([row_of(photo).pk])
    assert row_of(photo).mass == {"setting": 0.9877}


@pytest.mark.parametrize("mass", [{"setting": float("nan")}, {"beauty": 0.5}])
def test_a_mass_that_is_none_is_a_failure(
    photo: Photo, script: Script, mass: dict[str, float]
) -> None:
    script(replace(reading(), mass=mass))
    services.annotate([row_of(photo).pk])
    assert row_of(photo).failure == "off-schema"


def test_of_somebody_who_may_be_under_age_only_the_gates_are_kept(
    photo: Photo, script: Script
) -> None:
    seen = reading(**{**ALL_PASS, "adults": Verdict.FAIL})
    script(replace(seen, mass={"setting": 0.9}))
    services.annotate([row_of(photo).pk])
    row = row_of(photo)
    assert row.status == Annotation.Status.DONE
    assert (row.attributes, row.mass, row.features) == ({}, {}, None)
    assert row.gates == {**ALL_PASS, "adults": "fail"}
    photo.refresh_from_db()
    assert photo.status == Photo.Status.QUARANTINED
    known = services.effective_readings([photo.pk])[photo.pk]
    assert known.attributes == unseen_attributes()
    assert known.features is None


# The budget of a day ------------------------------------------------------------------


def spend(usd: float, *, ago: dt.timedelta = dt.timedelta(0)) -> None:
    attempt = Attempt.objects.create(backend="fake", model="fake-1", cost_usd=usd)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - ago)
    services.recount()


@pytest.fixture
def photos(alice: Profile, make_photo: MakePhoto) -> list[Photo]:
    return [make_photo(alice) for _ in range(6)]


def test_a_spent_budget_leaves_photos_pending_and_says_so_once(
    photos: list[Photo],
    script: Script,
    settings: Any,
    priced: Price,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading_service, "warn", HourlyWarning())
    settings.ANNOTATION_DAILY_BUDGET_USD = 1.0
    priced(0.01)
    spend(0.995)
    annotator = script()
    for photo in photos:
        assert services.annotate([row_of(photo).pk]) == 0
    assert annotator.seen == []
    assert {row_of(photo).attempts for photo in photos} == {0}
    assert len(caplog.messages) == 1
    assert "is spent" in caplog.messages[0]


def test_a_claim_takes_what_the_budget_still_pays_at_the_worst(
    photos: list[Photo], script: Script, settings: Any, priced: Price
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.04
    priced(0.01)
    spend(0.01)
    annotator = script(*[replace(reading(), calls=(Call(1.0, cost_usd=0.01),))] * 6)
    assert services.annotate(rows_of(photos)) == 3
    assert services.annotate(rows_of(photos)) == 0
    assert annotator.seen == [3]
    assert ledger.spent_today() == Decimal("0.04")


def test_a_back_end_that_costs_nothing_is_never_stopped(
    photos: list[Photo], script: Script, settings: Any
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.5
    spend(0.6)
    script()
    assert services.annotate(rows_of(photos)) == 6


def test_what_was_spent_yesterday_does_not_count(
    photos: list[Photo], script: Script, settings: Any, priced: Price
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 1.0
    priced(0.01)
    spend(5.0, ago=dt.timedelta(days=1))
    script()
    assert services.annotate(rows_of(photos)) == 6


def test_what_others_are_reading_counts_at_its_worst_until_it_is_settled(
    photos: list[Photo], script: Script, settings: Any, priced: Price
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.05
    priced(0.01)
    script()
    ids = rows_of(photos)
    held = claiming.claim(claiming.due("fake"), backend="fake", limit=5)
    with pytest.raises(services.LeasedError):  # not spent: it may come back
        services.annotate(ids[5:])
    assert row_of(photos[5]).attempts == 0
    claiming.release(held)
    assert services.annotate(ids[5:]) == 1


def test_what_a_dead_worker_may_have_spent_counts(
    photos: list[Photo], script: Script, settings: Any, priced: Price
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.05
    priced(0.01)
    script()
    first = claiming.due("fake").filter(photo=photos[0])
    claiming.claim(first, backend="fake", limit=1)
    first.update(leased_until=timezone.now())
    claimed = claiming.claim(claiming.due("fake"), backend="fake", limit=6)
    assert len(claimed.rows) == 4, "the dead worker's photo counts as lost"
    assert ledger.spent_today() == Decimal("0.01")
    assert ledger.reserved_today() == Decimal("0.04")
    claiming.release(claimed)
    claiming.claim(first, backend="fake", limit=1)
    assert ledger.spent_today() == Decimal("0.01")
    assert ledger.reserved_today() == Decimal("0.01")


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_never_spend_more_than_the_budget(
    photos: list[Photo],
    script: Script,
    settings: Any,
    priced: Price,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.ANNOTATION_DAILY_BUDGET_USD = 0.04
    priced(0.01)
    annotator = script(*[replace(reading(), calls=(Call(1.0, cost_usd=0.01),))] * 6)
    look = ledger.affordable

    def look_for_long(wanted: int, backend: str) -> int:
        found = look(wanted, backend)
        time.sleep(0.2)  # between the look and the claim, anybody else would look too
        return found

    monkeypatch.setattr(ledger, "affordable", look_for_long)
    together = threading.Barrier(2)

    def work(ids: list[int]) -> None:
        together.wait()
        try:
            services.annotate(ids)
        except TransientError:
            pass
        finally:
            connection.close()

    ids = rows_of(photos)
    halves = [threading.Thread(target=work, args=[half]) for half in (ids[:3], ids[3:])]
    for worker in halves:
        worker.start()
    for worker in halves:
        worker.join()
    assert sum(annotator.seen) == 4
    assert ledger.spent_today() == Decimal("0.04")


# What it costs ------------------------------------------------------------------------


@pytest.mark.django_db
def test_costs_are_told_by_back_end_model_and_provider() -> None:
    tried = {"backend": "remote", "model": "vl-8b", "provider": "first"}
    for _ in range(4):
        Attempt.objects.create(
            **tried,
            outcome="done",
            tokens_in=900,
            tokens_out=40,
            seconds=0.036,
            cost_usd=0.0001,
        )
    Attempt.objects.create(**tried, outcome="time-out", seconds=0.36, cost_usd=0.0002)
    Attempt.objects.create(**tried, outcome="copied")
    Attempt.objects.create(backend="local", model="vl-2b", outcome="refused")
    local, remote = services.costs()
    assert (remote.photos, remote.copied) == (4, 1)
    assert (remote.tries, remote.failures) == (5, 1)
    assert (remote.tokens_in, remote.tokens_out) == (3600, 160)
    assert remote.usd_per_100k == pytest.approx(0.0006 / 4 * 100_000)
    assert remote.hours_per_100k == pytest.approx(0.504 / 4 * 100_000 / 3600)
    assert (local.photos, local.failures) == (0, 1)
    assert (local.usd_per_100k, local.hours_per_100k) == (None, None)


@pytest.mark.django_db
def test_costs_of_the_last_days_leave_out_older_ones() -> None:
    spend(1.0, ago=dt.timedelta(days=3))
    spend(2.0)
    assert [c.cost_usd for c in services.costs(days=1)] == [Decimal(2)]
    assert [c.cost_usd for c in services.costs()] == [Decimal(3)]
