"""/v1/livez and /v1/readyz."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.urls import reverse
from rest_framework.test import APIClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that answers."""
    monkeypatch.setattr("twinby.health._queue", lambda: True)


@pytest.fixture
def dead_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_live_process_says_so_without_a_database() -> None:
    answer = APIClient().get("/v1/livez")  # no db fixture: a query would fail
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


@pytest.mark.skipif("REDIS_URL" not in os.environ, reason="needs a Redis")
@pytest.mark.services
def test_it_is_ready_when_everything_is_there(db: None) -> None:
    answer = APIClient().get("/v1/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": True, "queue": True},
    }


def test_it_is_ready_without_its_queue_and_says_so(
    db: None, settings: Any, dead_port: int
) -> None:
    settings.REDIS_URL = f"redis://:hidden@127.0.0.1:{dead_port}/0"
    began = time.monotonic()
    answer = APIClient().get("/v1/readyz")
    assert time.monotonic() - began < 3
    assert answer.status_code == 200
    assert answer.json()["checks"] == {"database": True, "queue": False}
    assert "hidden" not in answer.content.decode()


@pytest.mark.parametrize("probe", ["livez", "readyz"])
def test_a_probe_may_come_by_address_and_without_tls(
    db: None, queue: None, settings: Any, probe: str
) -> None:
    """Which nobody else may."""
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["match.example"]
    for path, status in [(reverse(probe), 200), ("/v1/people", 400)]:
        answer = APIClient().get(path, HTTP_HOST="10.0.0.7:8000")
        assert answer.status_code == status
    assert APIClient().get("/v1/people", HTTP_HOST="match.example").status_code == 301


def test_a_newer_release_on_the_disk_leaves_it_ready(
    db: None, queue: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations that this process did not start with are another one's business."""
    assert APIClient().get("/v1/readyz").status_code == 200
    newer = Migration("9999_newer", "matching")
    load = MigrationLoader.load_disk

    def load_newer(loader: MigrationLoader) -> None:
        load(loader)
        loader.disk_migrations["matching", newer.name] = newer

    monkeypatch.setattr(MigrationLoader, "load_disk", load_newer)
    assert APIClient().get("/v1/readyz").status_code == 200


def test_it_is_not_ready_while_a_migration_is_missing(db: None, queue: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'matching'")
    answer = APIClient().get("/v1/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": False, "queue": True}


def test_it_is_not_ready_without_pgvector(db: None, queue: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE pg_extension SET extname = 'v' WHERE extname = 'vector'")
    answer = APIClient().get("/v1/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] is False


ASK = """
import time, django
from concurrent.futures import ThreadPoolExecutor
django.setup()
from rest_framework.test import APIClient
from twinby.rest.callers import Caller, issue_token
import uuid
api = APIClient()
api.credentials(HTTP_AUTHORIZATION="Bearer " + issue_token(Caller(uuid.uuid4())))
began = time.monotonic()
with ThreadPoolExecutor(2) as pool:
    ready, person = pool.map(api.get, ["/v1/readyz", f"/v1/people/{uuid.uuid4()}"])
seconds = time.monotonic() - began
print(ready.status_code, person.status_code, person.json()["type"], seconds < 12)
"""


def test_a_dead_database_is_told_in_seconds_not_in_half_a_minute(
    dead_port: int,
) -> None:
    """With the pool and the time-outs of the real settings, in a process of its own."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "twinby.settings.base",
        "DATABASE_URL": f"postgres://twinby:hidden@127.0.0.1:{dead_port}/twinby",
        "TWINBY_SECRET_KEY": "x" * 50,
        "TWINBY_HOSTS": "testserver",
        "REDIS_URL": f"redis://127.0.0.1:{dead_port}/0",
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == [
        "503",
        "503",
        "urn:twinby:problem:unavailable",
        "True",
    ], done.stderr
    assert "hidden" not in done.stdout + done.stderr
