"""Replicate's predictions: made, asked for, read like any other answer, cancelled."""

from __future__ import annotations

import asyncio
import heapq
import json
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from annotation.backends.base import (
    PermanentError,
    Reading,
    Source,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.configuration import Provider
from annotation.backends.remote.dialects import Dialect
from annotation.backends.remote.replicate import Predictions
from annotation.backends.remote.transport import Pace, Received, Transport
from annotation.compact import JSON
from annotation.schema import problems
from tests.annotation.remote.conftest import (
    KEY,
    PACE,
    Clock,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.modelserver import (
    SILENCE,
    Answer,
    Behaviour,
    ModelServer,
    cut,
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
        pace=replace(PACE, whole=1.0),
        GPU1_DIALECT="replicate",
        GPU1_MODEL="owner/tiny",
    )
    server.do(prediction("starting"), SILENCE)
    [error] = annotator.read([jpeg()])
    assert isinstance(error, TransientError)
    assert error.reason == "not-fetched"
    assert paths(server) == [
        "models/owner/tiny/predictions",
        f"predictions/{ID}",
        f"predictions/{ID}/cancel",
    ]
    assert error.calls[0].cost_usd > 0


@pytest.mark.parametrize(
    "fault",
    [refusal(429), refusal(500), cut(0), Answer(b"{"), Answer(b'{"id": "../7"}')],
    ids=["busy", "error", "cut", "not json", "odd"],
)
def test_a_fault_on_the_way_to_a_prediction_does_not_make_another(
    replicate: RemoteAnnotator, server: ModelServer, fault: Behaviour | Answer
) -> None:
    server.do(prediction("starting"), fault, fault, prediction("succeeded", GOOD))
    [reading] = replicate.read([jpeg()])
    assert isinstance(reading, Reading)
    assert [call.outcome for call in reading.calls] == ["done"]
    assert paths(server)[1:] == [f"predictions/{ID}"] * 3


def test_a_prediction_that_cannot_be_asked_for_is_cancelled_and_paid_for(
    replicate: RemoteAnnotator, server: ModelServer
) -> None:
    server.do(prediction("starting"), refusal(401), prediction("canceled"))
    [error] = replicate.read([jpeg()])
    assert isinstance(error, TransientError)
    assert (error.reason, error.counted) == ("not-fetched", True)
    assert [call.cost_usd > 0 for call in error.calls] == [True]
    assert paths(server)[1:] == [f"predictions/{ID}", f"predictions/{ID}/cancel"]


def test_looks_at_a_prediction_grow_rarer_and_keep_to_retry_after(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    pace = clock.paces(first_poll=0.5, longest_poll=5.0, longest_wait=30.0)
    annotator = annotator_of(
        server, pace=pace, GPU1_DIALECT="replicate", GPU1_MODEL="owner/tiny"
    )
    server.do(*[prediction("starting")] * 3, refusal(429, Retry_After="7"))
    server.do(*[prediction("processing")] * 2, prediction("succeeded", GOOD))
    annotator.read([jpeg()])
    assert clock.slept == [0.5, 1, 2, 7, 4, 5, 5]


class Simulated:
    """Replicate and the time, both made up: predictions take `seconds` each."""

    def __init__(self, seconds: float) -> None:
        self.now, self._seconds = 0.0, seconds
        self.looked: list[float] = []
        self._ends: dict[str, float] = {}
        self._asleep: list[tuple[float, int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._asleep, (self.now + seconds, id(woken), woken))
        await woken

    async def post(self, _provider: Provider, path: str, _body: Any = None) -> Received:
        if path.endswith("/cancel"):
            return self._told(path.split("/")[1])
        name = f"prediction{len(self._ends)}"
        self._ends[name] = self.now + self._seconds
        return self._told(name)

    async def get(self, _provider: Provider, path: str) -> Received:
        self.looked.append(self.now)
        return self._told(path.split("/")[1])

    def _told(self, name: str) -> Received:
        status = "processing" if self.now < self._ends[name] else "succeeded"
        return Received(
            status=201,
            is_json=True,
            body=orjson.dumps({"id": name, "status": status}),
            retry_after=None,
        )

    async def pass_time(self, until: float) -> None:
        while self.now < until:
            for _ in range(3):  # whoever is awake goes on until the next sleep
                await asyncio.sleep(0)
            self.now, _, woken = heapq.heappop(self._asleep)
            woken.set_result(None)


@pytest.mark.parametrize("seconds", [0.1, 50.0])
def test_32_photos_at_a_time_look_less_than_600_times_a_minute(seconds: float) -> None:
    simulated = Simulated(seconds)
    pace = Pace(sleep=simulated.sleep, clock=lambda: simulated.now)
    provider = Provider("replicate", "", "owner/tiny", Dialect.REPLICATE)
    predictions = Predictions(cast("Transport", simulated), provider, pace)

    async def one_after_the_other() -> None:
        while True:
            await predictions.reply("data:")

    async def minutes() -> None:
        asking = [asyncio.create_task(one_after_the_other()) for _ in range(32)]
        await simulated.pass_time(100)
        assert not any(task.done() for task in asking)

    asyncio.run(minutes())
    looked = simulated.looked
    busiest = max(sum(0 <= at - start < 60 for at in looked) for start in looked)
    assert 300 < busiest < 600


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
    server.do(prediction("succeeded", GOOD), *[answer] * PACE.patience)
    _, error = [*replicate.read([jpeg(1)]), *replicate.read([jpeg(2)])]
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
