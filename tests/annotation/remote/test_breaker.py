"""A server that is away, or rejects everything, is found out and left alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from annotation.backends.base import (
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.breaker import Breaker
from tests.annotation.remote.conftest import (
    KEY,
    PACE,
    Clock,
    MakeAnnotator,
    jpeg,
)
from tests.annotation.remote.failures import PROSE
from tests.annotation.remote.modelserver import (
    Answer,
    Behaviour,
    ModelServer,
    completion,
    refusal,
    saying,
)


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
