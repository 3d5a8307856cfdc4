"""Whatever a server does, a photo gets an outcome with a reason, in good time."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import replace

import pytest

from annotation import parsing
from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.backends.remote import annotator as remote_annotator
from annotation.backends.remote import asking
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.breaker import Breaker
from annotation.backends.remote.configuration import MOST_TOKENS_IN, MOST_TOKENS_OUT
from annotation.backends.remote.faults import TROUBLES
from annotation.backends.remote.rendition import data_url
from annotation.backends.remote.transport import MOST_BYTES, Pace
from annotation.backends.remote.transport import _seconds as retry_seconds
from annotation.compact import LINES, Form
from annotation.tasks import annotate
from tests.annotation.remote.conftest import (
    HASTY,
    KEY,
    PACE,
    SLOW,
    Clock,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    Asked,
    Behaviour,
    ModelServer,
    completion,
    cut,
    refusal,
    saying,
    sheet,
    written,
)

GOOD = written(LINES, sheet())
LETTER_TOO_MANY = GOOD + "\nhair color: A"
WRONG_LETTER = GOOD.replace("hair color: A", "hair color: Q")
PROSE = "I'm sorry, but I can't describe people in photos."
HTML = Answer(b"<html>Sign in</html>", headers={"Content-Type": "text/html"})
UNFINISHED = '{"hair color": "A", "hair le'
WORST_USD = (MOST_TOKENS_IN + 10 * MOST_TOKENS_OUT) / 1e6


FAILURES: list[tuple[str, Behaviour | Answer, str, bool]] = [
    # name, what the server does, the reason, whether the photo is given up for good
    ("429", refusal(429), "busy", False),
    ("500", refusal(500), "server-error", False),
    ("503", refusal(503, "loading the model"), "server-error", False),
    ("error in a 200", Answer(b'{"error": {"code": 502}}'), "server-error", False),
    ("silence", SILENCE, "timed-out", False),
    ("cut", cut(), "cut-off", False),
    ("cut at once", cut(0), "cut-off", False),
    ("truncated body", Answer(b'{"choices": [{"mess'), "not-json", False),
    ("another type", HTML, "not-json", False),
    ("not unicode", Answer(b'{"choices": "\xff\xfe"}'), "not-json", False),
    ("deep", Answer(b"[" * 200_000), "not-json", False),
    (
        "compressed",
        Answer(b"\x1f\x8b\x08", headers={"Content-Encoding": "gzip"}),
        "not-json",
        False,
    ),
    ("huge", Answer(b" " * (MOST_BYTES + 1)), "too-long", False),
    ("403", refusal(403), "unauthorised", False),
    ("413", refusal(413), "rejected", True),
    ("a bad image", refusal(400, "cannot identify the picture"), "rejected", True),
    ("off schema", saying(WRONG_LETTER), "off-schema", True),
    ("too long", saying(LETTER_TOO_MANY), "off-schema", True),
    ("too short", saying("hair color: A"), "off-schema", True),
    ("no text", saying(choice={"message": {"content": None}}), "off-schema", True),
    ("a list", saying(choice={"message": {"content": [GOOD]}}), "off-schema", True),
    ("no message", saying(choice={"message": "A"}), "off-schema", True),
    ("no choice", Answer(b'{"choices": []}'), "server-error", False),
    ("a number", Answer(b"7"), "server-error", False),
    ("prose", saying(PROSE), "refused", True),
    (
        "a refusal",
        saying(choice={"message": {"content": None, "refusal": "No."}}),
        "refused",
        True,
    ),
    ("filtered", saying(choice={"finish_reason": "content_filter"}), "refused", True),
    ("out of tokens", saying(choice={"finish_reason": "length"}), "truncated", True),
    ("half of the JSON", saying(UNFINISHED), "truncated", True),
]


@pytest.mark.parametrize(
    ("behaviour", "reason", "for_good"),
    [pytest.param(*case, id=name) for name, *case in FAILURES],
)
def test_a_failing_server_gives_a_stable_reason_and_a_row_for_every_try(
    server: ModelServer,
    annotator_of: MakeAnnotator,
    behaviour: Behaviour | Answer,
    reason: str,
    *,
    for_good: bool,
) -> None:
    annotator = annotator_of(server, pace=HASTY if behaviour is SILENCE else PACE)
    if reason == "rejected":  # it is the photo's own where others are read
        annotator.read([jpeg(9)])
        server.asked.clear()
    server.do(*[behaviour] * PACE.patience)
    if reason == "unauthorised":
        with pytest.raises(BackendUnavailableError):
            annotator.read([jpeg()])
        return
    [error] = annotator.read([jpeg()])
    kind = PermanentError if for_good else TransientError
    assert isinstance(error, kind)
    assert error.reason == reason
    tries = 2 if TROUBLES[reason].again else 1
    if reason == "busy":
        tries = PACE.patience
    assert [call.outcome for call in error.calls] == [reason] * tries
    assert len(server.asked) == tries


@pytest.mark.parametrize(
    "behaviour",
    [pytest.param(behaviour, id=name) for name, behaviour, *_ in FAILURES],
)
def test_the_next_provider_answers_when_one_fails(
    server: ModelServer,
    spare: ModelServer,
    annotator_of: MakeAnnotator,
    behaviour: Behaviour | Answer,
) -> None:
    pace = replace(SLOW, tries=1) if behaviour is SILENCE else PACE
    annotator = annotator_of(server, spare, pace=pace)
    server.do(*[behaviour] * PACE.patience)
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    *failed, done = reading.calls
    assert {call.provider for call in failed} == {"gpu1"}
    assert (done.provider, done.outcome) == ("gpu2", "done")


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(behaviour, id=name)
        for name, behaviour, reason, _ in FAILURES
        if TROUBLES[reason].again
    ],
)
def test_a_second_try_with_the_same_provider_may_do(
    server: ModelServer, annotator_of: MakeAnnotator, behaviour: Behaviour | Answer
) -> None:
    annotator = annotator_of(server, pace=SLOW if behaviour is SILENCE else PACE)
    server.do(behaviour)
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.provider for call in reading.calls] == ["gpu1"] * 2


def test_one_failing_photo_does_not_hinder_the_others(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    bad = jpeg(3)

    def refuse_it(asked: Asked) -> Answer:
        is_bad = base64.b64encode(bad).decode() in json.dumps(asked.body)
        return completion(asked, PROSE if is_bad else None)

    server.do(*[refuse_it] * 20)
    outcomes = annotator.read([jpeg(n) for n in range(6)])
    assert [isinstance(o, PermanentError) for o in outcomes] == [
        n == 3 for n in range(6)
    ]


def test_a_server_that_is_not_there_has_no_connection(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        annotator = annotator_of(server, GPU1_URL=f"http://127.0.0.1:{port}/v1")
        [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "no-connection"
    assert error.calls[0].cost_usd == 0


def test_no_try_takes_longer_than_it_may(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, silence=60.0, whole=0.1))
    server.do(SILENCE, SILENCE)
    started = time.monotonic()
    [error] = annotator.read([jpeg()])
    assert time.monotonic() - started < 20
    assert isinstance(error, TransientError)
    assert error.reason == "timed-out"


def test_a_photo_has_only_so_long_for_all_its_tries(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    pace = replace(PACE, silence=60.0, whole=60.0, total=0.2)
    annotator = annotator_of(server, spare, pace=pace)
    server.do(SILENCE)
    started = time.monotonic()
    [error] = annotator.read([jpeg()])
    assert time.monotonic() - started < 20
    assert isinstance(error, TransientError)
    assert error.reason == "out-of-time"
    assert [call.cost_usd for call in error.calls] == [pytest.approx(WORST_USD)]
    assert error.counted  # or it might be paid for again and again


def test_a_photo_that_waits_too_long_in_the_queue_is_neither_asked_about_nor_to_blame(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    pace = replace(PACE, silence=60.0, whole=0.5, queue=0.2, tries=1)
    annotator = annotator_of(server, pace=pace, CONCURRENCY="1")
    server.do(SILENCE)
    _, *queued = annotator.read([jpeg(n) for n in range(4)])
    for error in queued:
        assert isinstance(error, TransientError)
        assert (error.reason, error.calls, error.counted) == ("out-of-time", (), False)
    assert len(server.asked) == 1


def test_the_usual_time_for_a_photo_is_well_under_that_of_a_job() -> None:
    pace, job = Pace(), annotate.options["time_limit"] / 1000
    assert pace.whole * pace.tries < pace.total
    assert pace.queue + pace.total < 0.6 * job


def test_what_nobody_expected_fails_one_photo_alone_and_keeps_its_tries(
    server: ModelServer, annotator_of: MakeAnnotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator = annotator_of(server)
    match = parsing.match

    def broken(text: str, form: Form) -> re.Match[str]:
        if text == "odd":
            raise RecursionError(KEY)
        return match(text, form)

    monkeypatch.setattr(parsing, "match", broken)
    server.do(saying("odd"))
    outcomes = annotator.read([jpeg(n) for n in range(6)])
    [error] = [o for o in outcomes if not isinstance(o, Reading)]
    assert isinstance(error, TransientError)
    assert (error.reason, error.counted) == ("annotator-broke", True)
    assert [(c.outcome, c.tokens_out) for c in error.calls] == [
        ("annotator-broke", 170)
    ]


def test_a_photo_that_nobody_could_be_asked_about_does_not_stop_the_others(
    annotator: RemoteAnnotator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(photo: bytes) -> str:
        if photo == jpeg(2):
            raise RecursionError(KEY)
        return data_url(photo)

    monkeypatch.setattr(asking, "data_url", broken)
    outcomes = annotator.read([jpeg(n) for n in range(6)])
    assert [n for n, o in enumerate(outcomes) if isinstance(o, Reading)] == [
        *(0, 1, 3, 4, 5)
    ]
    assert isinstance(outcomes[2], TransientError)
    assert (outcomes[2].reason, outcomes[2].counted) == ("annotator-broke", True)
    assert "RecursionError" in caplog.text
    assert KEY not in caplog.text


def test_a_reader_that_is_interrupted_leaves_nothing_running(
    server: ModelServer, annotator_of: MakeAnnotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, queue=5), CONCURRENCY="2")
    server.do(*[SILENCE] * 2)

    def interrupted(*_: object) -> None:
        while len(server.asked) < 2:
            time.sleep(0.005)
        raise KeyboardInterrupt

    monkeypatch.setattr(remote_annotator, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        annotator.read([jpeg(n) for n in range(4)])
    monkeypatch.setattr(remote_annotator, "wait", wait)
    [reading] = annotator.read([jpeg(5)])  # there is a place for it
    assert isinstance(reading, Reading)
    assert len(server.asked) == 3


def test_a_try_that_may_have_been_billed_counts_as_the_dearest(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, pace=SLOW)
    server.do(SILENCE, refusal(500))
    [error] = annotator.read([jpeg()])
    assert isinstance(error, AnnotationError)
    assert [call.cost_usd for call in error.calls] == [pytest.approx(WORST_USD), 0]


def test_an_unreadable_answer_is_paid_for(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(saying(PROSE))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.tokens_out for call in reading.calls] == [170, 170]
    assert reading.cost_usd == pytest.approx(2 * (900 + 1700) / 1e6)


# Time ---------------------------------------------------------------------------------


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


# Breaker ------------------------------------------------------------------------------


def test_a_provider_that_keeps_failing_is_left_alone_and_probed_once(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    pace = replace(PACE, failures=4, clock=clock)
    annotator = annotator_of(server, spare, pace=pace, CONCURRENCY="1")
    server.do(*[refusal(500)] * 5)
    for n in range(6):
        annotator.read([jpeg(n)])
    assert len(server.asked) == 4
    clock.now += PACE.left_alone
    annotator.read([jpeg(n) for n in range(4)])
    assert len(server.asked) == 5  # the probe failed, so nobody else asked
    clock.now += PACE.left_alone
    annotator.read([jpeg(n) for n in range(4)])
    assert len(server.asked) == 9  # the probe was answered: it is back


def test_one_probe_at_a_time_decides_for_all() -> None:
    clock = Clock()
    breaker = Breaker(failures=2, seconds=10, clock=clock)
    breaker.note(failed=True)
    assert breaker.admits()
    breaker.note(failed=True)
    assert not breaker.admits()
    clock.now += 10
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    clock.now += 10  # the probe was lost
    assert [breaker.admits() for _ in range(3)] == [True, False, False]
    breaker.note(failed=False)
    assert [breaker.admits() for _ in range(3)] == [True, True, True]


def test_a_busy_provider_is_waited_for_and_not_left_alone(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, failures=2))
    server.do(*[refusal(429)] * 5)
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.outcome for call in reading.calls] == [*["busy"] * 5, "done"]


def test_what_a_model_will_not_answer_says_nothing_against_its_server(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, failures=2))
    server.do(*[saying(PROSE)] * 8)
    outcomes = annotator.read([jpeg(n) for n in range(4)])
    assert {getattr(o, "reason", None) for o in outcomes} == {"refused"}
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)


def test_no_photo_is_blamed_while_every_provider_is_down(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, spare)
    server.do(*[refusal(503)] * 40)
    spare.do(*[refusal(502)] * 40)
    with pytest.raises(BackendUnavailableError, match="gpu1 says server-error"):
        annotator.read([jpeg(n) for n in range(8)])
    asked = len(server.asked)
    with pytest.raises(BackendUnavailableError, match="gpu2 says server-error"):
        annotator.read([jpeg(n) for n in range(8)])
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("status", "setting"),
    [
        (401, "TWINBY_REMOTE_GPU1_KEY"),
        (402, "TWINBY_REMOTE_GPU1_KEY"),
        (404, "TWINBY_REMOTE_GPU1_MODEL"),
        (307, "TWINBY_REMOTE_GPU1_URL"),
    ],
)
def test_a_wrong_setting_is_named(
    server: ModelServer, annotator: RemoteAnnotator, status: int, setting: str
) -> None:
    server.do(refusal(status))
    with pytest.raises(BackendUnavailableError, match=setting):
        annotator.read([jpeg()])
    assert len(server.asked) == 1


def test_a_server_that_rejects_every_photo_fails_none_of_them(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(*[refusal(400, f"At most 0 image(s) may be provided. {KEY}")] * 99)
    with pytest.raises(BackendUnavailableError) as caught:
        annotator.read([jpeg(n) for n in range(4)])
    assert "gpu1 says rejects-all" in str(caught.value)
    assert "TWINBY_REMOTE_GPU1_MODEL" in str(caught.value)
    assert KEY not in str(caught.value)
    assert "At most" not in str(caught.value)
    assert [[c.outcome for c in calls] for calls in caught.value.calls] == [
        ["rejects-all"]
    ] * 4


def test_a_server_that_read_photos_and_then_rejects_all_of_them_is_found_out(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    annotator.read([jpeg()])
    server.do(*[refusal(400)] * 99)
    alone = [annotator.read([jpeg(n)])[0] for n in range(1, PACE.rejections)]
    assert {type(error) for error in alone} == {PermanentError}
    with pytest.raises(BackendUnavailableError, match="rejects-all"):
        annotator.read([jpeg(20)])


def test_none_of_a_batch_is_failed_by_a_server_that_came_to_reject_all(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    annotator.read([jpeg()])
    server.do(*[refusal(400)] * 99)
    with pytest.raises(BackendUnavailableError) as caught:
        annotator.read([jpeg(n) for n in range(1, 13)])
    assert len(caught.value.calls) == 12


def test_a_server_that_rejected_all_is_tried_again_and_trusted_again(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    annotator = annotator_of(server, pace=clock.paces(), CONCURRENCY="1")
    server.do(*[refusal(400)] * PACE.failures)
    with pytest.raises(BackendUnavailableError):
        annotator.read([jpeg(n) for n in range(20)])
    assert len(server.asked) == PACE.failures  # the others are not sent at all
    clock.now += PACE.left_alone
    assert isinstance(annotator.read([jpeg(1)])[0], Reading)
    server.do(refusal(400))
    [error] = annotator.read([jpeg(2)])
    assert isinstance(error, PermanentError)
    assert error.reason == "rejected"


def test_the_first_photo_of_all_is_not_failed_by_a_rejection(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, CONCURRENCY="1")
    server.do(refusal(400), completion, refusal(400))
    bad, good = annotator.read([jpeg(1), jpeg(2)])
    assert isinstance(bad, TransientError)
    assert not bad.counted
    assert isinstance(good, Reading)
    [again] = annotator.read([jpeg(1)])
    assert isinstance(again, PermanentError)


def test_a_few_bad_photos_among_good_ones_are_rejected_for_good(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, CONCURRENCY="1")
    turns: list[Behaviour | Answer] = [completion, *[refusal(400)] * 5]
    server.do(*turns * 4)
    outcomes = annotator.read([jpeg(n) for n in range(24)])
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [Reading, *[PermanentError] * 5] * 4


def test_the_tries_that_found_a_wrong_setting_are_kept(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(*[refusal(401)] * 9)
    with pytest.raises(BackendUnavailableError) as caught:
        annotator.read([jpeg(1), b"no photo", jpeg(2)])
    assert [
        [(c.provider, c.outcome) for c in calls] for calls in caught.value.calls
    ] == [
        [("gpu1", "unauthorised")],
        [],
        [("gpu1", "unauthorised")],
    ]


def test_openrouters_moderation_is_about_the_photo(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, GPU1_DIALECT="openrouter")
    server.do(refusal(403, "flagged"))
    [error] = annotator.read([jpeg()])
    assert isinstance(error, PermanentError)
    assert error.reason == "flagged"


def test_a_key_does_not_travel_with_a_redirect(
    server: ModelServer, spare: ModelServer, annotator: RemoteAnnotator
) -> None:
    server.do(refusal(307, Location=f"{spare.url}/chat/completions"))
    with pytest.raises(BackendUnavailableError):
        annotator.read([jpeg()])
    assert spare.asked == []


# Secrets ------------------------------------------------------------------------------


def test_no_proxy_of_the_environment_sees_a_key_or_a_photo(
    server: ModelServer,
    spare: ModelServer,
    annotator: RemoteAnnotator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, spare.url.removesuffix("/v1"))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert (len(server.asked), len(spare.asked)) == (1, 0)


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that reaches nobody: its URL, and what it is told."""
    told: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    told.append(connection.recv(2**16))
                    connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}", told
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_a_proxy_of_our_own_is_for_what_it_cannot_read(
    server: ModelServer, annotator_of: MakeAnnotator, proxy: tuple[str, list[bytes]]
) -> None:
    url, told = proxy
    [reading] = annotator_of(server, PROXY=url).read([jpeg()])
    assert isinstance(reading, Reading)
    assert told == []  # unencrypted, so it goes straight to the server
    annotator = annotator_of(server, PROXY=url, GPU1_URL="https://gpu1.internal/v1")
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "no-connection"
    assert told[0].startswith(b"CONNECT gpu1.internal:443 ")
    assert KEY.encode() not in b"".join(told)


@pytest.mark.parametrize(
    "behaviour",
    [
        *(pytest.param(behaviour, id=name) for name, behaviour, *_ in FAILURES),
        pytest.param(refusal(401, f"Incorrect API key provided: {KEY}"), id="401"),
        pytest.param(refusal(400, f"no such parameter: {KEY}"), id="400"),
    ],
)
def test_neither_key_nor_photo_nor_text_reaches_a_log_an_error_or_a_call(
    server: ModelServer,
    annotator_of: MakeAnnotator,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | Answer,
) -> None:
    annotator = annotator_of(server, pace=HASTY if behaviour is SILENCE else PACE)
    for logger in ("", "httpx2", "httpcore2", "tenacity"):
        caplog.set_level(logging.DEBUG, logger)
    server.do(*[behaviour] * 6)
    photo = jpeg()
    try:
        [outcome] = annotator.read([photo])
    except BackendUnavailableError as error:
        outcome = PermanentError(str(error))
    assert isinstance(outcome, AnnotationError)
    told = [repr(outcome), str(outcome), repr(outcome.calls), repr(vars(outcome))]
    told += [repr(outcome.__context__), repr(annotator), repr(vars(annotator))]
    told += [record.getMessage() + str(record.exc_text) for record in caplog.records]
    assert len(told) > 7  # the HTTP client does log
    sent = server.asked[0].body["messages"][1]["content"][0]["image_url"]["url"]
    for secret in (KEY, sent[40:80], "can't describe", "Sign in"):
        assert secret not in "\n".join(told)
