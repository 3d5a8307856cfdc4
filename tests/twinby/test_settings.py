"""The production settings: what they refuse, and whom they believe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONG, SHORT = "x" * 50, "x" * 49
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    "TWINBY_SECRET_KEY": LONG,
}
TRUSTED_HEADER = (
    "import twinby.settings.production as settings;"
    "print(getattr(settings, 'SECURE_PROXY_SSL_HEADER', None))"
)
REDIS_OF_TESTS = (
    "import os; import twinby.settings.test as settings;"
    "print(settings.REDIS_URL, os.environ['REDIS_URL'])"
)


def load(**given: str) -> subprocess.CompletedProcess[str]:
    """The production settings in a process of their own; prints the trusted header."""
    return subprocess.run(
        [sys.executable, "-c", TRUSTED_HEADER],
        cwd=ROOT,
        env=ENVIRONMENT | given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(("told", "database"), [({}, 5), ({"PYTEST_REDIS_OF": "3"}, 2)])
def test_processes_that_share_the_tests_have_a_redis_each(
    told: dict[str, str], database: int
) -> None:
    """Whom one of them starts has its own, as it was told."""
    given = {"PYTEST_XDIST_WORKER": "gw3", "REDIS_URL": "redis://somewhere:1/2"}
    said = subprocess.run(
        [sys.executable, "-c", REDIS_OF_TESTS],
        cwd=ROOT,
        env=ENVIRONMENT | given | told,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert said.stdout.split() == [f"redis://somewhere:1/{database}"] * 2


@pytest.mark.parametrize("name", ["TWINBY_SECRET_KEY", "TWINBY_JWT_KEY"])
def test_production_refuses_a_short_secret(name: str) -> None:
    answer = load(**{name: SHORT})
    assert answer.returncode == 1
    assert f"{name} must have at least 50 random characters" in answer.stderr
    assert SHORT not in answer.stderr


@pytest.mark.parametrize("given", [{}, {"TWINBY_JWT_KEY": LONG}])
def test_production_takes_secrets_that_are_long_enough(given: dict[str, str]) -> None:
    answer = load(**given)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize(
    ("proxies", "trusted"),
    [("0", "None"), ("1", "('HTTP_X_FORWARDED_PROTO', 'https')")],
)
def test_only_a_proxy_may_say_that_a_request_came_by_tls(
    proxies: str, trusted: str
) -> None:
    assert load(TWINBY_PROXIES=proxies).stdout.strip() == trusted
