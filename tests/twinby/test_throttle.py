"""The throttle, on the real Redis that REDIS_URL names."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from rest_framework.test import APIClient, APIRequestFactory
from rest_framework.views import APIView

from profiles.models import Profile
from tests.conftest import MakePerson
from twinby.rest import throttle
from twinby.rest.callers import Caller

LIMIT = 100
PROCESSES, THREADS, EACH = 2, 4, 50


def _reachable() -> bool:
    url = os.environ.get("REDIS_URL", "")
    try:
        return bool(url and redis.Redis.from_url(url, socket_timeout=2).ping())
    except redis.RedisError:
        return False


needs_redis = pytest.mark.skipif(
    not _reachable(), reason="needs the Redis that REDIS_URL names"
)


@pytest.fixture(autouse=True)
def fresh_limiter() -> Iterator[None]:
    throttle.limiter.cache_clear()
    yield
    throttle.limiter.cache_clear()


def allows(who: Caller) -> bool:
    request: Any = SimpleNamespace(user=who)
    return throttle.SubjectThrottle().allow_request(request, APIView())


def _hit(subject: uuid.UUID, start: Any, allowed: Any) -> None:
    """One process: four threads with fifty requests each."""
    throttle.limiter.cache_clear()
    who = Caller(client_id=subject, person_id=subject)
    passed: list[int] = []
    start.wait(30)

    def knock() -> None:
        passed.extend(1 for _ in range(EACH) if allows(who))

    threads = [threading.Thread(target=knock) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    allowed.put(len(passed))


@needs_redis
@pytest.mark.services
def test_of_four_hundred_requests_at_once_exactly_a_hundred_pass(settings: Any) -> None:
    settings.REQUESTS_PER_MINUTE = LIMIT
    fork = multiprocessing.get_context("fork")
    start, allowed = fork.Barrier(PROCESSES), fork.Queue()
    subject = uuid.uuid4()
    workers = [
        fork.Process(target=_hit, args=(subject, start, allowed))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    passed = sum(allowed.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(10)
    assert PROCESSES * THREADS * EACH == 4 * LIMIT
    assert passed == LIMIT


@needs_redis
@pytest.mark.services
def test_people_have_limits_of_their_own_and_are_told_when_to_come_back(
    api_as: Callable[[Profile], APIClient], make_person: MakePerson, settings: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 3
    alice, bella = make_person(), make_person()
    own = api_as(alice)
    codes = [own.get(f"/v1/people/{alice.pk}").status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    refused = own.get(f"/v1/people/{alice.pk}")
    assert 1 <= int(refused["Retry-After"]) <= 61
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["type"] == "urn:twinby:problem:too-many-requests"
    assert api_as(bella).get(f"/v1/people/{bella.pk}").status_code == 200


@needs_redis
@pytest.mark.services
def test_whoever_has_no_token_yet_is_counted_by_address(
    db: None, settings: Any
) -> None:
    settings.REQUESTS_PER_MINUTE = 2
    one, other = (f"2001:db8:{net}::{uuid.uuid4().hex[:4]}" for net in (1, 2))

    def knock(address: str, forwarded_for: str = "") -> int:
        answer = APIClient().post(
            "/v1/tokens",
            {},
            REMOTE_ADDR=address,
            HTTP_X_FORWARDED_FOR=forwarded_for,
        )
        return int(answer.status_code)

    # A header that anybody can write does not make somebody else of them.
    forged = [knock(one, f"10.0.0.{i}") for i in range(3)]
    assert forged[-1] == 429
    assert 429 not in forged[:2]
    assert knock(other) != 429


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "6.6.6.6", "9.9.9.9"),
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 5.6.7.8", "1.2.3.4"),
    ],
)
def test_an_address_is_what_our_own_proxies_say(
    settings: Any, proxies: int, forwarded: str, seen: str
) -> None:
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    request = APIRequestFactory().get(
        "/", REMOTE_ADDR="9.9.9.9", HTTP_X_FORWARDED_FOR=forwarded
    )
    assert throttle.SubjectThrottle().get_ident(request) == seen


@pytest.fixture
def mute_port() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_without_redis_requests_pass_at_once_and_the_log_says_so(
    api_as: Callable[[Profile], APIClient],
    alice: Profile,
    settings: Any,
    mute_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.REQUESTS_PER_MINUTE = 1
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed_port = taken.getsockname()[1]
    for port in (closed_port, mute_port):
        settings.REDIS_URL = f"redis://:hidden@127.0.0.1:{port}/0"
        throttle.limiter.cache_clear()
        caplog.clear()
        for _ in range(2):
            began = time.monotonic()
            assert api_as(alice).get(f"/v1/people/{alice.pk}").status_code == 200
            assert time.monotonic() - began < 1
        assert "Throttling is off: Redis does not answer" in caplog.text
        assert "hidden" not in caplog.text
