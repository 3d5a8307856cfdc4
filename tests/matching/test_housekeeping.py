"""Work by the clock has time enough, and does not pile up while workers are down."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection
from dramatiq import Actor, Broker
from dramatiq.middleware import SkipMessage
from dramatiq_crontab import scheduler

from annotation.tasks import sweep as sweep_readings
from demo.tasks import expire_visitors
from matching import impressions
from matching.tasks import (
    arrange_impressions,
    build_indexes,
    count_impressions,
    sweep_index,
    sweep_tastes,
)
from profiles.tasks import expire_anchors, sweep_files
from twinby.alone import alone
from twinby.housekeeping import HOUR

Job = Actor[[], None]
JOBS = (
    *(sweep_readings, sweep_index, sweep_tastes, count_impressions),
    *(arrange_impressions, build_indexes, expire_anchors, sweep_files),
    expire_visitors,
)


def interval_ms(actor: Job) -> float:
    """How long it is from one time to the next, by the clock that sends it."""
    jobs = [job for job in scheduler.get_jobs() if job.name == actor.actor_name]
    assert jobs, f"nobody sends {actor.actor_name}"
    trigger, start = jobs[0].trigger, dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    first = trigger.get_next_fire_time(None, start)
    second = trigger.get_next_fire_time(first, first)
    return float((second - first).total_seconds() * 1000)


@pytest.mark.parametrize("actor", JOBS, ids=lambda actor: actor.actor_name)
def test_every_job_has_an_hour_and_is_dropped_after_one_to_three_intervals(
    actor: Job,
) -> None:
    assert actor.options["time_limit"] >= HOUR
    assert 1 <= actor.options["max_age"] / interval_ms(actor) <= 3


def test_of_what_piled_up_only_the_youngest_runs(
    work: Callable[[], None], broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    monkeypatch.setattr(impressions, "count", lambda: runs.append(None))
    youngest = count_impressions.message()
    for hours in (3, 2, 1, 0):
        timestamp = youngest.message_timestamp - hours * HOUR
        broker.enqueue(count_impressions.message().copy(message_timestamp=timestamp))
    with pytest.raises(SkipMessage):  # of those that were too old
        work()
    assert len(runs) == 1


@pytest.mark.django_db(transaction=True)
def test_a_job_is_not_begun_while_it_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs: list[str] = []

    def count() -> None:
        runs.append("first")
        with ThreadPoolExecutor(1) as other:
            other.submit(elsewhere).result()
        assert runs == ["first"]

    monkeypatch.setattr(impressions, "count", count)
    count_impressions()
    assert runs == ["first"]
    monkeypatch.setattr(impressions, "count", lambda: runs.append("second"))
    with ThreadPoolExecutor(1) as other:
        other.submit(elsewhere).result()
    assert runs == ["first", "second"]


def elsewhere() -> None:
    """The job, on a connection of its own."""
    try:
        count_impressions()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_statement_fails_lets_go_of_it() -> None:
    with pytest.raises(DatabaseError), alone("a job"), connection.cursor() as cursor:
        cursor.execute("SELECT nothing_there")
    with ThreadPoolExecutor(1) as other:
        assert other.submit(is_free).result()


def is_free() -> bool:
    try:
        with alone("a job") as is_alone:
            return is_alone
    finally:
        connection.close()
