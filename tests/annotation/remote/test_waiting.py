"""Servers that want a pause get one, and nobody else is to blame for it."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from dataclasses import replace

import pytest

from annotation.backends.base import (
    Reading,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.transport import _seconds as retry_seconds
from tests.annotation.remote.conftest import (
    PACE,
    Clock,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.modelserver import (
    Answer,
    Asked,
    Behaviour,
    ModelServer,
    completion,
    refusal,
)


def test_retry_after_is_honoured(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    annotator = annotator_of(server, pace=clock.paces(longest_wait=30.0))
    server.do(refusal(429))
    annotator.read([jpeg()])
    assert sum(clock.slept) < 1
    server.do(refusal(429, Retry_After="17"))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert 17 <= sum(clock.slept) < 18


EAST = dt.timezone(dt.timedelta(hours=9))


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0900"])
def test_retry_after_may_be_a_date_of_any_zone(zone: str) -> None:
    now = dt.datetime.now(EAST if zone == "+0900" else dt.UTC)
    date = "%a, %d %b %Y %H:%M:%S " + zone
    soon = retry_seconds((now + dt.timedelta(hours=2)).strftime(date))
    assert soon == pytest.approx(7200, abs=600)
    assert retry_seconds((now - dt.timedelta(days=9)).strftime(date)) == 0


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("1.5", 1.5),
        ("100000000000000", 1e14),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
        ("Mon, 01 Jan 99999 00:00:00 GMT", None),
        *((odd, None) for odd in ("soon", "-5", "1e9", "٣", "", "nan", "inf", ".")),
    ],
)
def test_retry_after_is_seconds_or_nothing(told: str, seconds: float | None) -> None:
    assert retry_seconds(told) == seconds


@pytest.mark.parametrize(
    "told", ["soon", "-5", "٣", "Mon, 01 Jan 2024 00:00:00 +99999999999999"]
)
def test_nonsense_in_retry_after_is_ignored(
    server: ModelServer, annotator_of: MakeAnnotator, told: str
) -> None:
    clock = Clock()
    annotator = annotator_of(server, pace=clock.paces())
    server.do(refusal(429, Retry_After=told.encode().decode("latin-1")))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert sum(clock.slept) < 0.9


def test_a_server_that_wants_a_long_pause_is_not_waited_for(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, spare)
    server.do(refusal(429, Retry_After="3600"))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.provider for call in reading.calls] == ["gpu1", "gpu2"]
    [reading] = annotator.read([jpeg(2)])  # it is remembered for other photos
    assert isinstance(reading, Reading)
    assert [call.provider for call in reading.calls] == ["gpu2"]


def test_while_all_want_to_be_left_alone_no_photo_is_asked_about_or_to_blame(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    annotator = annotator_of(server, spare, pace=clock.paces(), CONCURRENCY="1")
    server.do(refusal(429, Retry_After="600"))
    spare.do(refusal(503, Retry_After="300"))
    for error in annotator.read([jpeg(n) for n in range(4)]):
        assert isinstance(error, TransientError)
        assert error.counted == any(c.outcome == "server-error" for c in error.calls)
    for error in annotator.read([jpeg(n) for n in range(4)]):
        assert isinstance(error, TransientError)
        assert (error.reason, error.calls, error.counted) == ("busy", (), False)
    assert (len(server.asked), len(spare.asked)) == (1, 1)
    clock.now += 300
    assert isinstance(annotator.read([jpeg()])[0], Reading)
    assert (len(server.asked), len(spare.asked)) == (1, 2)


def test_a_server_that_is_busy_again_and_again_blames_no_photo(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(*[refusal(429)] * PACE.patience)
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert (error.reason, error.counted) == ("busy", False)
    assert len(error.calls) == PACE.patience


def test_whatever_a_server_wants_it_is_asked_again_within_the_hour(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    annotator = annotator_of(server, pace=clock.paces())
    server.do(refusal(429, Retry_After="999999999999"))
    annotator.read([jpeg()])
    clock.now += 3600
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)


def test_all_photos_wait_for_what_one_of_them_was_told(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0.5)  # until the other has heard what it is told
        await clock.sleep(seconds)

    pace = replace(clock.paces(longest_wait=30.0), sleep=sleep)
    annotator = annotator_of(server, pace=pace, CONCURRENCY="2")
    told = threading.Barrier(2, timeout=20)

    def at_once(wait: str) -> Behaviour:
        def behave(_asked: Asked) -> Answer:
            told.wait()
            return refusal(429, Retry_After=wait)

        return behave

    asked_at: list[float] = []

    def noting(asked: Asked) -> Answer:
        asked_at.append(clock.now)
        return completion(asked)

    started = clock.now
    server.do(at_once("20"), at_once("1"), noting, noting)
    annotator.read([jpeg(1), jpeg(2)])
    assert min(asked_at) >= started + 20
