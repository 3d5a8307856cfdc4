"""What is asked often is kept in Redis for a while; without Redis it is made anew."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import Any

import orjson
import redis
from django.conf import settings
from redis.exceptions import RedisError

from twinby.rest.redis import impatient

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.1
PREFIX = "twinby:kept:"


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, **impatient(TIMEOUT_SECONDS))


def kept(owner: str, name: str) -> Any | None:
    """What was kept under this name for this owner; None if it is gone or too old."""
    try:
        found: Any = _client().hget(PREFIX + owner, name)
    except RedisError:
        logger.warning("Nothing is kept: Redis does not answer")
        return None
    if found is None:
        return None
    value, until = orjson.loads(found)
    return value if time.time() < until else None


def keep(owner: str, name: str, value: Any, *, seconds: int) -> None:
    """Keep plain data for so many seconds, or until its owner is forgotten."""
    dated = [value, time.time() + seconds]
    text = orjson.dumps(dated, option=orjson.OPT_SERIALIZE_NUMPY)
    try:
        with _client().pipeline(transaction=False) as pipeline:
            pipeline.hset(PREFIX + owner, name, text)
            pipeline.expire(PREFIX + owner, seconds)
            pipeline.execute()
    except RedisError:
        logger.warning("Nothing is kept: Redis does not answer")


def forget(owner: str) -> None:
    """Whatever was kept for this owner is no longer true."""
    try:
        _client().delete(PREFIX + owner)
    except RedisError:
        logger.warning("What was kept stays until it is old: Redis does not answer")
