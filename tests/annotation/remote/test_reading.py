"""Photos go out, readings come in: over real HTTP, from a server that behaves."""

from __future__ import annotations

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from annotation import compact
from annotation.backends.base import PermanentError, Reading, Source, TransientError
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.configuration import MOST_TOKENS_IN, MOST_TOKENS_OUT
from annotation.prompt import REQUEST
from annotation.schema import NOT_VISIBLE, Gate, Verdict, problems
from tests.annotation.remote.conftest import KEY, PACE, Clock, MakeAnnotator, jpeg
from tests.annotation.remote.modelserver import (
    SILENCE,
    SURE,
    Answer,
    Asked,
    ModelServer,
    completion,
    refusal,
    saying,
    sheet,
    written,
)


def readings(annotator: RemoteAnnotator, *photos: bytes) -> list[Reading]:
    outcomes = annotator.read(photos)
    assert all(isinstance(outcome, Reading) for outcome in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, Reading)]


def test_a_reading_has_the_probabilities_of_the_letters(
    annotator: RemoteAnnotator, photo: bytes
) -> None:
    [reading] = readings(annotator, photo)
    assert problems(reading.attributes) == []
    assert reading.source is Source.PROBABILITIES
    assert reading.attributes["hair_color"]["black"] == pytest.approx(SURE)
    seen = SURE / (SURE + (1 - SURE) / 2)  # yes and no are all that there is
    assert reading.attributes["objects"][NOT_VISIBLE] == pytest.approx(1 - seen)
    assert reading.attributes["objects"]["dog"] == pytest.approx(seen * seen)
    assert reading.mass["hair_color"] == pytest.approx(SURE + (1 - SURE) / 2)
    assert reading.gates[Gate.NUDITY] is Verdict.PASS
    assert reading.features is None


def test_a_try_is_a_call_with_its_tokens_and_dollars(
    annotator: RemoteAnnotator, photo: bytes
) -> None:
    [reading] = readings(annotator, photo)
    [call] = reading.calls
    assert (call.provider, call.outcome) == ("gpu1", "done")
    assert (call.tokens_in, call.tokens_out) == (900, 170)
    assert call.cost_usd == pytest.approx((900 * 1 + 170 * 10) / 1e6)
    assert 0 < call.seconds == reading.seconds


def test_one_request_holds_the_prompt_the_photo_and_the_bounds(
    annotator: RemoteAnnotator, server: ModelServer, photo: bytes
) -> None:
    readings(annotator, photo)
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    system, user = asked.body["messages"]
    assert system == {"role": "system", "content": compact.LINES.system}
    image, text = user["content"]
    assert text == {"type": "text", "text": REQUEST}
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == photo
    assert asked.body["temperature"] == 0
    assert asked.body["max_tokens"] == compact.LINES.max_tokens <= MOST_TOKENS_OUT
    assert len(system["content"]) / 2 + 2_880 < MOST_TOKENS_IN


SCHEMA = {"type": "json_schema"}
LOGPROBS = {"logprobs": True, "top_logprobs": 20}
PLAIN = {"model", "messages", "temperature", "max_tokens"}


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        (
            "vllm",
            {
                **LOGPROBS,
                "chat_template_kwargs": {"enable_thinking": False},
                "structured_outputs": {"regex": compact.REGEX},
            },
        ),
        (
            "sglang",
            {
                **LOGPROBS,
                "chat_template_kwargs": {"enable_thinking": False},
                "regex": compact.REGEX,
            },
        ),
        ("openai", {**LOGPROBS, "response_format": SCHEMA}),
        (
            "openrouter",
            {
                **LOGPROBS,
                "response_format": SCHEMA,
                "provider": {"require_parameters": True},
            },
        ),
    ],
)
def test_each_dialect_is_asked_in_its_own_words(
    server: ModelServer,
    annotator_of: MakeAnnotator,
    photo: bytes,
    dialect: str,
    told: dict[str, Any],
) -> None:
    [reading] = readings(annotator_of(server, GPU1_DIALECT=dialect), photo)
    assert reading.source is Source.PROBABILITIES
    extra = {k: v for k, v in server.asked[0].body.items() if k not in PLAIN}
    if "response_format" in extra:
        given = extra["response_format"].pop("json_schema")
        assert given["strict"] is True
        assert given["schema"] == json.loads(json.dumps(compact.json_schema()))
    assert extra == told


def by_colour(asked: Asked) -> Answer:
    """Answers by what is in the photo, the last ones first."""
    url = asked.body["messages"][1]["content"][0]["image_url"]["url"]
    with Image.open(BytesIO(base64.b64decode(url.split(",")[1]))) as image:
        red = image.getpixel((5, 5))[0]  # type: ignore[index]
    time.sleep((255 - red) / 255 * 0.05)
    letter = "ABCDEFGH"[round(red / 255 * 7)]
    return completion(asked, written(asked.form, sheet(hair_color=letter)))


def test_outcomes_keep_the_order_of_the_photos(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    photos = []
    for level in range(8):
        target = BytesIO()
        Image.new("RGB", (32, 32), (round(level / 7 * 255), 0, 0)).save(target, "JPEG")
        photos.append(target.getvalue())
    server.do(*[by_colour] * 8)
    found = [
        max(r.attributes["hair_color"].items(), key=lambda kv: kv[1])[0]
        for r in readings(annotator, *photos)
    ]
    assert found == "black dark_brown light_brown blonde red grey dyed bald".split()


def test_one_bad_photo_fails_alone_and_is_not_sent(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    good, bad, cut, other = annotator.read(
        [jpeg(1), b"no photo", jpeg(2)[:-2], jpeg(3)]
    )
    assert isinstance(good, Reading)
    assert isinstance(other, Reading)
    for outcome in (bad, cut):
        assert isinstance(outcome, PermanentError)
        assert (outcome.reason, outcome.calls) == ("not-an-image", ())
    assert len(server.asked) == 2


def test_nothing_is_asked_about_no_photos(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    assert annotator.read([]) == []
    assert server.asked == []


@pytest.mark.parametrize(
    ("size", "sent_size"), [((1200, 900), (336, 448)), ((40, 30), (30, 40))]
)
def test_any_photo_goes_out_small_upright_and_without_metadata(
    annotator: RemoteAnnotator,
    server: ModelServer,
    size: tuple[int, int],
    sent_size: tuple[int, int],
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif[0x0112] = 6  # to be turned by a quarter
    target = BytesIO()
    Image.new("RGB", size).save(target, "JPEG", exif=exif)
    readings(annotator, target.getvalue())
    url = server.asked[0].body["messages"][1]["content"][0]["image_url"]["url"]
    sent = base64.b64decode(url.split(",")[1])
    assert b"home" in target.getvalue()
    assert b"home" not in sent
    with Image.open(BytesIO(sent)) as image:
        assert image.size == sent_size
        assert not image.getexif()


def test_all_callers_together_keep_to_the_bound(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, CONCURRENCY="3")
    gate = threading.Barrier(3, timeout=20)  # passes only if three are there at a time

    def together(asked: Asked) -> Answer:
        gate.wait()
        return completion(asked)

    server.do(*[together] * 12)
    with ThreadPoolExecutor(4) as callers:
        list(callers.map(lambda n: readings(annotator, *[jpeg(n)] * 3), range(4)))
    assert len(server.asked) == 12
    assert server.busiest == 3


def test_a_photo_keeps_its_place_while_it_waits(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, CONCURRENCY="1")
    server.do(refusal(429))
    readings(annotator, jpeg(1), jpeg(2))
    photos = [json.dumps(asked.body["messages"]) for asked in server.asked]
    assert photos[0] == photos[1] != photos[2]


def test_the_ledger_adds_up_to_the_time_that_passed(
    annotator: RemoteAnnotator,
) -> None:
    started = time.perf_counter()
    found = readings(annotator, *[jpeg(n) for n in range(8)])
    passed = time.perf_counter() - started
    assert sum(c.seconds for r in found for c in r.calls) <= passed
    assert sum(r.seconds for r in found) == pytest.approx(passed, rel=0.5)


# Without probabilities ----------------------------------------------------------------


@pytest.mark.parametrize(
    "logprobs",
    [None, {"content": None}, {"content": []}],
    ids=["none", "null", "empty"],
)
def test_without_logprobs_the_same_letters_are_certain(
    annotator: RemoteAnnotator, server: ModelServer, photo: bytes, logprobs: Any
) -> None:
    server.do(*[saying(choice={"logprobs": logprobs})] * 2)
    [reading] = readings(annotator, photo)
    assert reading.source is Source.ONE_HOT
    assert reading.attributes["hair_color"]["black"] == 1
    assert reading.mass == {}
    assert problems(reading.attributes) == []


def test_a_model_whose_doubt_is_unknown_passes_no_gate_but_fails_them(
    annotator: RemoteAnnotator, server: ModelServer, photo: bytes
) -> None:
    text = written(compact.LINES, sheet(face_count="B", nudity="A", adults="B"))
    server.do(*[saying(text, choice={"logprobs": None})] * 2)
    [reading] = readings(annotator, photo)
    assert reading.gates[Gate.FACE_COUNT] is Verdict.UNKNOWN
    assert reading.gates[Gate.NUDITY] is Verdict.UNKNOWN
    assert reading.gates[Gate.ADULTS] is Verdict.FAIL


CERTAIN = saying(choice={"logprobs": None})


def test_an_answer_without_the_usual_probabilities_is_asked_for_once_more(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    readings(annotator, jpeg())
    server.do(CERTAIN)
    [reading] = readings(annotator, jpeg(1))
    assert reading.source is Source.PROBABILITIES
    assert [call.outcome for call in reading.calls] == ["no-probabilities", "done"]
    assert all(call.cost_usd > 0 for call in reading.calls)


def test_a_lapse_of_one_answer_changes_nothing_for_the_next_photos(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    server.do(CERTAIN, CERTAIN)
    [lapse, *others] = [readings(annotator, jpeg(n))[0] for n in range(5)]
    assert lapse.source is Source.ONE_HOT
    assert [call.outcome for call in lapse.calls] == ["no-probabilities", "done"]
    assert {reading.source for reading in others} == {Source.PROBABILITIES}
    assert all(asked.body["logprobs"] for asked in server.asked)


def test_an_answer_without_probabilities_is_better_than_none(
    annotator: RemoteAnnotator, server: ModelServer, photo: bytes
) -> None:
    server.do(CERTAIN, saying("I'm sorry, but no."))
    [reading] = readings(annotator, photo)
    assert reading.source is Source.ONE_HOT
    assert [call.outcome for call in reading.calls] == ["no-probabilities", "refused"]


def test_a_server_that_never_gives_probabilities_is_asked_once_and_still_asked_for_them(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, CONCURRENCY="1")
    server.do(*[CERTAIN] * 20)
    found = [readings(annotator, jpeg(n))[0] for n in range(8)]
    assert {reading.source for reading in found} == {Source.ONE_HOT}
    assert [len(reading.calls) for reading in found] == [2, 2, 2, 2, 1, 1, 1, 1]
    assert all(asked.body["logprobs"] for asked in server.asked)


def test_a_server_that_ceased_to_give_probabilities_is_believed_after_a_while(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    clock = Clock()
    annotator = annotator_of(server, pace=clock.paces(), CONCURRENCY="1")
    readings(annotator, jpeg())
    server.do(*[CERTAIN] * 25)
    found = [readings(annotator, jpeg(n))[0] for n in range(1, 11)]
    assert {len(reading.calls) for reading in found} == {2}
    clock.now += PACE.until_probe
    [reading] = readings(annotator, jpeg(11))
    assert (reading.source, len(reading.calls)) == (Source.ONE_HOT, 1)


MAX_TOKENS_MINDED = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. "
    "Use 'max_completion_tokens' instead."
)
TEMPERATURE_MINDED = (
    "Unsupported value: 'temperature' does not support 0 with this model. "
    "Only the default (1) value is supported."
)


def test_a_model_that_wants_newer_parameters_is_given_them_from_then_on(
    server: ModelServer, annotator_of: MakeAnnotator
) -> None:
    annotator = annotator_of(server, GPU1_DIALECT="openai")
    server.do(refusal(400, MAX_TOKENS_MINDED), refusal(400, TEMPERATURE_MINDED))
    [first] = readings(annotator, jpeg(1))
    assert [call.outcome for call in first.calls] == [
        *["parameter-refused"] * 2,
        "done",
    ]
    [later] = readings(annotator, jpeg(2))
    assert len(later.calls) == 1
    for asked in server.asked[2:]:
        assert asked.body["max_completion_tokens"] == compact.JSON.max_tokens
        assert not {"max_tokens", "temperature"} & asked.body.keys()
        assert asked.body["logprobs"]


@pytest.mark.parametrize(
    ("complaint", "given_up", "kept"),
    [
        ("top_logprobs must be at most 5", "logprobs", "structured_outputs"),
        ("Extra inputs: structured_outputs", "structured_outputs", "logprobs"),
        ("unknown field chat_template_kwargs", "chat_template_kwargs", "logprobs"),
        ("No endpoints support these parameters.", "logprobs", "structured_outputs"),
    ],
)
def test_a_refused_parameter_is_left_out_and_the_photo_is_read(
    annotator: RemoteAnnotator,
    server: ModelServer,
    photo: bytes,
    complaint: str,
    given_up: str,
    kept: str,
) -> None:
    body = json.dumps({"error": {"message": complaint}}).encode()
    server.do(Answer(body, 400))
    [reading] = readings(annotator, photo)
    assert [call.outcome for call in reading.calls] == ["parameter-refused", "done"]
    assert [call.cost_usd > 0 for call in reading.calls] == [False, True]
    readings(annotator, photo)
    for asked in server.asked[1:]:
        assert given_up not in asked.body
        assert kept in asked.body
    if given_up == "structured_outputs":  # the next best way to hold it to a form
        assert "response_format" in server.asked[1].body


def test_one_photo_that_is_refused_takes_no_parameter_from_the_others(
    annotator: RemoteAnnotator, server: ModelServer
) -> None:
    readings(annotator, jpeg(3))
    server.do(*[refusal(400, "Invalid parameter: cannot decode the image")] * 5)
    [error] = annotator.read([jpeg(1)])
    assert isinstance(error, PermanentError)
    assert error.reason == "rejected"
    assert [c.outcome for c in error.calls] == [*["parameter-refused"] * 4, "rejected"]
    [reading] = readings(annotator, jpeg(2))
    assert reading.source is Source.PROBABILITIES


# Money --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "usd"),
    [
        ({"prompt_tokens": 1_000, "completion_tokens": 100}, 0.002),
        ({"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 0.0005}, 0.0005),
        ({"prompt_tokens": 1_000, "completion_tokens": 100, "cost": 1e9}, 0.002),
        ({"prompt_tokens": 1_000, "completion_tokens": 100, "cost": -1}, 0.002),
        ({}, (MOST_TOKENS_IN + 10 * MOST_TOKENS_OUT) / 1e6),
        ({"prompt_tokens": -5, "completion_tokens": 1}, None),
        ({"prompt_tokens": 10**12, "completion_tokens": 1}, None),
        ({"prompt_tokens": True, "completion_tokens": 1}, None),
        ({"prompt_tokens": "many", "completion_tokens": 1}, None),
    ],
)
def test_what_is_not_said_or_not_believable_counts_as_the_worst(
    annotator: RemoteAnnotator,
    server: ModelServer,
    photo: bytes,
    usage: dict[str, Any],
    usd: float | None,
) -> None:
    server.do(saying(usage=usage))
    [reading] = readings(annotator, photo)
    worst = (MOST_TOKENS_IN + 10 * MOST_TOKENS_OUT) / 1e6
    assert reading.cost_usd == pytest.approx(worst if usd is None else usd)


def test_a_closed_annotator_opens_again(
    annotator: RemoteAnnotator, photo: bytes
) -> None:
    readings(annotator, photo)
    annotator.close()
    annotator.close()
    assert "remote" not in {thread.name for thread in threading.enumerate()}
    readings(annotator, photo)


def test_closing_ends_what_is_under_way(
    server: ModelServer, annotator_of: MakeAnnotator, photo: bytes
) -> None:
    annotator = annotator_of(server, pace=replace(PACE, silence=60, whole=60))
    server.do(SILENCE)
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(annotator.read, [photo])
        while not server.asked:
            time.sleep(0.005)
        annotator.close()
        with pytest.raises(TransientError, match="stopped") as caught:
            reading.result(timeout=20)
    assert not caught.value.counted
