"""The admin's door: a few wrong passwords, and it stays shut for a while."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from limits import parse
from redis.exceptions import RedisError

from profiles import signin
from tests.twinby.test_throttle import needs_redis
from twinby.rest import throttle

PASSWORD = "correct horse battery staple"
LIMIT = signin.OF_A_NAME.amount


@pytest.fixture(autouse=True)
def fresh_limiter() -> Iterator[None]:
    throttle.limiter.cache_clear()
    yield
    throttle.limiter.cache_clear()


@pytest.fixture
def moderator(db: None) -> User:
    return User.objects.create_user(uuid.uuid4().hex, password=PASSWORD, is_staff=True)


@pytest.fixture
def address() -> str:
    """One that no other test comes from."""
    return f"2001:db8::{uuid.uuid4().hex[:4]}:{uuid.uuid4().hex[:4]}"


def sign_in(name: str, password: str, address: str) -> Any:
    return Client().post(
        "/admin/login/",
        {"username": name, "password": password},
        REMOTE_ADDR=address,
    )


def signed_in(answer: Any) -> bool:
    return bool(answer.status_code == 302)


@needs_redis
def test_guesses_at_a_password_are_stopped(moderator: User, address: str) -> None:
    for _ in range(LIMIT):
        answer = sign_in(moderator.username, "a guess", address)
        assert signin.REFUSED not in answer.content.decode()
    answer = sign_in(moderator.username.upper(), PASSWORD, address)
    assert signin.REFUSED in answer.content.decode()
    assert not signed_in(sign_in(moderator.username, PASSWORD, address))


@needs_redis
def test_nobody_is_locked_out_by_guesses_from_elsewhere(
    moderator: User, address: str
) -> None:
    for _ in range(LIMIT + 1):
        sign_in(moderator.username, "a guess", address)
    assert signed_in(sign_in(moderator.username, PASSWORD, "192.0.2.7"))


@needs_redis
def test_signing_in_gives_the_tries_back(moderator: User, address: str) -> None:
    for _ in range(2):
        for _ in range(LIMIT - 1):
            sign_in(moderator.username, "a guess", address)
        assert signed_in(sign_in(moderator.username, PASSWORD, address))


@needs_redis
def test_an_address_may_not_try_one_name_after_another(
    moderator: User, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signin, "OF_AN_ADDRESS", parse("5 per 15 minutes"))
    for _ in range(5):
        sign_in(uuid.uuid4().hex, "a guess", address)
    assert not signed_in(sign_in(moderator.username, PASSWORD, address))


def test_without_redis_moderators_still_get_in(
    moderator: User,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def down() -> None:
        raise RedisError

    monkeypatch.setattr(signin, "limiter", down)
    with caplog.at_level(logging.WARNING):
        assert signed_in(sign_in(moderator.username, PASSWORD, address))
    assert "not counted" in caplog.text
    assert moderator.username not in caplog.text
    assert address not in caplog.text
