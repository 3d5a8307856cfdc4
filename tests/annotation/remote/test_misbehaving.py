"""Whatever a server does, a photo gets an outcome with a reason, in good time."""

from __future__ import annotations

import base64
import json
import re
import socket
import time
from concurrent.futures import wait
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
from annotation.backends.remote.configuration import MOST_TOKENS_IN, MOST_TOKENS_OUT
from annotation.backends.remote.faults import TROUBLES
from annotation.backends.remote.rendition import data_url
from annotation.backends.remote.transport import Pace
from annotation.compact import Form
from annotation.tasks import annotate
from tests.annotation.remote.conftest import (
    HASTY,
    KEY,
    PACE,
    SLOW,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.failures import (
    FAILURES,
    PROSE,
)
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    Asked,
    Behaviour,
    ModelServer,
    completion,
    refusal,
    saying,
)

WORST_USD = (MOST_TOKENS_IN + 10 * MOST_TOKENS_OUT) / 1e6


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
