"""Whatever a server does, a photo gets an outcome with a reason, in good time."""

from __future__ import annotations

import base64
import datetime as dt
import json
import logging
import socket
import time
from dataclasses import replace
from email.utils import format_datetime

import pytest

from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.breaker import Breaker
from annotation.backends.remote.configuration import MOST_TOKENS_IN, MOST_TOKENS_OUT
from annotation.backends.remote.faults import TROUBLES
from annotation.backends.remote.transport import MOST_BYTES
from annotation.compact import LINES
from tests.annotation.remote.conftest import KEY, PACE, Clock, MakeAnnotator, jpeg
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
    annotator = annotator_of(server)
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
    annotator = annotator_of(server, spare)
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
    server: ModelServer, annotator: RemoteAnnotator, behaviour: Behaviour | Answer
) -> None:
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
    assert time.monotonic() - started < 2
    assert isinstance(error, TransientError)
    assert error.reason == "timed-out"


def test_a_try_that_may_have_been_billed_counts_as_the_dearest(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
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


def waited(server: ModelServer, annotator: RemoteAnnotator, answer: Answer) -> float:
    server.do(answer)
    started = time.monotonic()
    annotator.read([jpeg()])
    return time.monotonic() - started


def test_retry_after_is_honoured(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, longest_wait=5))
    annotator.read([jpeg()])
    assert waited(server, annotator, refusal(429)) < 0.5
    assert waited(server, annotator, refusal(429, Retry_After="1")) >= 1


def test_a_date_in_retry_after_is_understood(
    server: ModelServer, annotator: RemoteAnnotator
) -> None:
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
    header = format_datetime(later, usegmt=True)
    server.do(refusal(503, Retry_After=header))
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)  # two hours: nobody waits that long
    assert len(server.asked) == 1


@pytest.mark.parametrize("header", ["soon", "-5", "1e9", "٣", ""])
def test_nonsense_in_retry_after_is_ignored(
    server: ModelServer, annotator: RemoteAnnotator, header: str
) -> None:
    answer = refusal(429, Retry_After=header.encode().decode("latin-1"))
    assert waited(server, annotator, answer) < 0.9
    assert len(server.asked) == 2


def test_a_server_that_wants_a_long_pause_is_not_waited_for(
    server: ModelServer, spare: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, spare)
    server.do(refusal(429, Retry_After="3600"))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.provider for call in reading.calls] == ["gpu1", "gpu2"]


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
    annotator: RemoteAnnotator,
    caplog: pytest.LogCaptureFixture,
    behaviour: Behaviour | Answer,
) -> None:
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
