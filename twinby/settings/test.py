"""Tests: the base with a stub queue, a quick hasher and the fake annotator."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

os.environ.setdefault("DATABASE_URL", "postgres://twinby@127.0.0.1:5432/twinby")
os.environ.setdefault("TWINBY_SECRET_KEY", "only-for-tests-" + "x" * 48)

from twinby.settings.base import *  # noqa: F403
from twinby.settings.base import DATABASES, DRAMATIQ_BROKER, REDIS_URL

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ANNOTATOR = "fake"
REQUESTS_PER_MINUTE = 100_000
MEDIA_ROOT = Path(tempfile.gettempdir()) / "twinby-test-media"
# One connection a thread: a pool would keep the test database busy when it is dropped.
DATABASES["default"]["OPTIONS"].pop("pool")
# Of the processes that share the tests each keeps to itself: pytest-django gives it a
# database, and this the next one of Redis, which whomever it starts takes as it is.
_NUMBER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
if _NUMBER and os.environ.get("PYTEST_REDIS_OF") != _NUMBER:
    _SERVER = urlsplit(REDIS_URL)
    _FIRST = int(_SERVER.path.strip("/") or 0)
    REDIS_URL = _SERVER._replace(path=f"/{_FIRST + int(_NUMBER)}").geturl()
    if "REDIS_URL" in os.environ:
        os.environ |= {"REDIS_URL": REDIS_URL, "PYTEST_REDIS_OF": _NUMBER}
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.stub.StubBroker",
    "OPTIONS": {},
    "MIDDLEWARE": DRAMATIQ_BROKER["MIDDLEWARE"],
}
