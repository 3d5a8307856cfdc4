"""How a web request talks to Redis: at once, or not at all."""

from __future__ import annotations

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry


def impatient(seconds: float) -> dict[str, Any]:
    """Options of a client that gives up after `seconds`.

    redis-py tries ten times with pauses by default: right for a worker, too long for
    somebody who waits for an answer.
    """
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), retries=0),
    }
