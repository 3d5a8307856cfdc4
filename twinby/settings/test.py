"""Tests: the base with a stub queue, a quick hasher and the fake annotator."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

os.environ.setdefault("DATABASE_URL", "postgres://twinby@127.0.0.1:5432/twinby")
os.environ.setdefault("TWINBY_SECRET_KEY", "only-for-tests-" + "x" * 48)

from twinby.settings.base import *  # noqa: F403
from twinby.settings.base import DATABASES, DRAMATIQ_BROKER

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ANNOTATOR = "fake"
REQUESTS_PER_MINUTE = 100_000
MEDIA_ROOT = Path(tempfile.gettempdir()) / "twinby-test-media"
# One connection a thread: a pool would keep the test database busy when it is dropped.
DATABASES["default"]["OPTIONS"].pop("pool")  # type: ignore[attr-defined]
DRAMATIQ_BROKER = {
    "BROKER": "dramatiq.brokers.stub.StubBroker",
    "OPTIONS": {},
    "MIDDLEWARE": DRAMATIQ_BROKER["MIDDLEWARE"],
}
