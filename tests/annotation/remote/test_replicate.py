"""Replicate's predictions: made, asked for, read like any other answer, cancelled."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from annotation.backends.base import (
    PermanentError,
    Reading,
    Source,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.compact import JSON
from annotation.schema import problems
from tests.annotation.remote.conftest import KEY, PACE, MakeAnnotator, jpeg
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    ModelServer,
    refusal,
    sheet,
    written,
)

ID = "gm3qorzdhgbfurvjtvhg6dckhu"
GOOD = written(JSON, sheet())


def prediction(status: str, output: Any = None, **more: Any) -> Answer:
    fields = {"id": ID, "status": status, "output": output, **more}
    return Answer(json.dumps(fields).encode(), 201)


@pytest.fixture
def replicate(server: ModelServer, annotator_of: MakeAnnotator) -> RemoteAnnotator:
    return annotator_of(server, GPU1_DIALECT="replicate", GPU1_MODEL="owner/tiny")


def paths(server: ModelServer) -> list[str]:
    return [asked.path.removeprefix("/v1/") for asked in server.asked]


def test_a_prediction_is_asked_for_until_it_is_there(
    replicate: RemoteAnnotator, server: ModelServer
) -> None:
    pieces = [GOOD[:100], GOOD[100:]]
    metrics = {"input_token_count": 900, "output_token_count": 250}
    server.do(
        prediction("starting"),
        prediction("processing"),
        prediction("succeeded", pieces, metrics=metrics),
    )
    [reading] = replicate.read([jpeg()])
    assert isinstance(reading, Reading)
    assert problems(reading.attributes) == []
    assert (reading.source, reading.mass) == (Source.ONE_HOT, {})
    [call] = reading.calls
    assert (call.tokens_in, call.tokens_out) == (900, 250)
    assert paths(server) == [
        "models/owner/tiny/predictions",
        *[f"predictions/{ID}"] * 2,
    ]
    told = server.asked[0].body["input"]
    assert told["image"].startswith("data:image/jpeg;base64,")
    assert told["prompt"].startswith(JSON.system)
    assert told["max_tokens"] == JSON.max_tokens
    assert all(a.headers["Authorization"] == f"Bearer {KEY}" for a in server.asked)


def test_a_version_of_a_model_is_asked_as_such(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(
        server, GPU1_DIALECT="replicate", GPU1_MODEL="owner/tiny:5c7d5dc6"
    )
    server.do(prediction("succeeded", GOOD))
    [reading] = annotator.read([jpeg()])
    assert isinstance(reading, Reading)
    assert paths(server) == ["predictions"]
    assert server.asked[0].body["version"] == "5c7d5dc6"


def test_what_takes_too_long_is_cancelled(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(
        server,
        pace=replace(PACE, whole=0.3, tries=1),
        GPU1_DIALECT="replicate",
        GPU1_MODEL="owner/tiny",
    )
    server.do(prediction("starting"), SILENCE)
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "timed-out"
    assert paths(server)[-1] == f"predictions/{ID}/cancel"
    assert error.calls[0].cost_usd > 0


def test_what_fails_to_be_asked_for_is_cancelled(
    replicate: RemoteAnnotator, server: ModelServer
) -> None:
    server.do(prediction("starting"), refusal(500), prediction("canceled"))
    server.do(prediction("succeeded", GOOD))
    [reading] = replicate.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.outcome for call in reading.calls] == ["server-error", "done"]
    assert paths(server)[2] == f"predictions/{ID}/cancel"


@pytest.mark.parametrize(
    ("answer", "reason", "for_good"),
    [
        (prediction("failed", error="CUDA out of memory"), "failed", False),
        (prediction("canceled"), "failed", False),
        (prediction("aborted"), "failed", False),
        (prediction("succeeded", "I'm sorry, I can't."), "refused", True),
        (prediction("succeeded", None), "off-schema", True),
        (prediction("succeeded", {"text": GOOD}), "off-schema", True),
        (prediction("succeeded", GOOD[:-9]), "truncated", True),
        (Answer(b"[]"), "not-json", False),
        (refusal(429), "busy", False),
        (refusal(422, "prompt is too long"), "rejected", True),
    ],
)
def test_a_failure_has_the_reason_that_others_have(
    replicate: RemoteAnnotator,
    server: ModelServer,
    answer: Answer,
    reason: str,
    *,
    for_good: bool,
) -> None:
    server.do(*[answer] * PACE.patience)
    [error] = replicate.read([jpeg()])
    assert isinstance(error, PermanentError if for_good else TransientError)
    assert error.reason == reason


@pytest.mark.parametrize("odd", ["../account", "account?x=", "", 7, None, ["a" * 26]])
def test_an_odd_id_leads_to_no_other_address(
    replicate: RemoteAnnotator, server: ModelServer, odd: Any
) -> None:
    server.do(*[prediction("starting", id=odd)] * 2)
    [error] = replicate.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "not-json"
    assert paths(server) == ["models/owner/tiny/predictions"] * 2
