"""The queue's own client of Redis, with time-outs that hold."""

from __future__ import annotations

from typing import Final

import redis
from django.core.exceptions import ImproperlyConfigured

from twinby.rest.redis import impatient

# Somebody may wait for what is enqueued; a worker comes back a moment later anyway.
CONNECT_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 3.0


def client(url: str) -> redis.Redis:
    """A client for threads and forks alike; it connects when it is first used.

    The broker takes time-outs too, and drops them where it is given a URL. Raises
    ImproperlyConfigured, without the URL, if it is none.
    """
    bounds = impatient(ANSWER_SECONDS) | {"socket_connect_timeout": CONNECT_SECONDS}
    try:
        return redis.Redis.from_url(url, **bounds)
    except ValueError:  # its words may hold a part of the password
        raise ImproperlyConfigured(
            "REDIS_URL must look like redis://:password@host:6379/0"
        ) from None
