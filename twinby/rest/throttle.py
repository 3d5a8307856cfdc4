"""How often a subject may call."""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from twinby.rest.callers import Caller
from twinby.rest.redis import impatient

if TYPE_CHECKING:  # DRF's views import this module through the settings
    from rest_framework.views import APIView

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 0.3


@cache
def limiter() -> MovingWindowRateLimiter:
    """Counts in Redis, by moving windows; without it raises RedisError at once."""
    storage = storage_from_string(settings.REDIS_URL, **impatient(TIMEOUT_SECONDS))
    return MovingWindowRateLimiter(storage)


class SubjectThrottle(BaseThrottle):
    """So many requests a minute for each subject, counted atomically in Redis.

    DRF's own throttle reads, then writes: under concurrency it lets half as many again
    through. Without Redis this one lets everybody pass and says so: search matters
    more than its limit.
    """

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        limit = parse(f"{settings.REQUESTS_PER_MINUTE}/minute")
        key = self._key(request)
        try:
            counted = limiter()
            if counted.hit(limit, "api", key):
                return True
            reset, _ = counted.get_window_stats(limit, "api", key)
        except RedisError:
            logger.warning("Throttling is off: Redis does not answer")
            return True
        self._wait = max(1.0, reset - time.time())
        return False

    def wait(self) -> float | None:
        return self._wait

    def _key(self, request: Request) -> str:
        if isinstance(request.user, Caller):
            return request.user.subject
        return f"ip:{self.get_ident(request)}"
