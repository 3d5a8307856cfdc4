"""The settings: what they refuse, whom they believe, how long they wait."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg import conninfo

from twinby.settings import postgres

ROOT = Path(__file__).resolve().parents[2]
LONG, SHORT = "x" * 50, "x" * 49
BASE, HARD = "twinby.settings.base", "twinby.settings.production"
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
    return run(TRUSTED_HEADER, **given)


def run(program: str, **given: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own, with just the environment that is needed."""
    return subprocess.run(
        [sys.executable, "-c", program],
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


# The database and the queue -----------------------------------------------------------


def test_what_follows_a_question_mark_is_for_libpq() -> None:
    """It wins over the bounds that every connection has."""
    found = postgres.database(
        "postgres://u:p%2Fw@db:5433/name?sslmode=verify-full&connect_timeout=9"
        "&options=-c%20search_path%3Dours&pool=no"
    )
    options = found["OPTIONS"]
    assert (found["PASSWORD"], found["HOST"], found["PORT"]) == ("p/w", "db", 5433)
    assert (options["sslmode"], options["connect_timeout"]) == ("verify-full", "9")
    assert options["pool"]["max_size"] == 8
    assert options["options"].split() == [
        *("-c", "statement_timeout=30000"),
        *("-c", "search_path=ours"),
    ]
    conninfo.make_conninfo(**{k: v for k, v in options.items() if k != "pool"})


def test_hosts_may_be_several() -> None:
    found = postgres.database("postgres://u@/name?host=one,two&port=5432,5433")
    assert (found["HOST"], found["PORT"]) == ("", "5432,5433")
    assert found["OPTIONS"]["host"] == "one,two"


def test_a_server_that_vanishes_is_noticed() -> None:
    options = postgres.database("postgres://db/name")["OPTIONS"]
    bounds = {name: options[name] for name in postgres.BOUNDS}
    assert {"keepalives_idle", "tcp_user_timeout"} <= bounds.keys()
    assert conninfo.conninfo_to_dict(**bounds)  # libpq knows them all


@pytest.mark.parametrize(
    ("argv", "options"),
    [
        (["/bin/granian"], "-c statement_timeout=30000"),
        (["/bin/dramatiq", "django_dramatiq.setup"], "-c statement_timeout=600000"),
        (["manage.py", "annotate"], "-c statement_timeout=600000"),
        (
            ["/src/manage.py", "migrate", "--no-input"],
            "-c statement_timeout=600000 -c lock_timeout=5s",
        ),
    ],
)
def test_a_migration_does_not_wait_for_locks_that_others_wait_behind(
    monkeypatch: pytest.MonkeyPatch, argv: list[str], options: str
) -> None:
    """What the URL says comes after it, and wins."""
    monkeypatch.setattr("sys.argv", argv)
    found = postgres.database("postgres://db/name")["OPTIONS"]["options"]
    assert found == options
    given = "postgres://db/name?options=-c%20lock_timeout%3D0"
    told = postgres.database(given)["OPTIONS"]["options"]
    assert told == f"{options} -c lock_timeout=0"


WRONG_DATABASES = {
    "a password with a slash": "postgres://u:hun/ter2@db/name",
    "a password with a hash": "postgres://u:hun#ter2@db/name",
    "a password with a question mark": "postgres://u:hun?ter2@db/name",
    "a password with a bracket": "postgres://u:hun[ter2@db/name",
    "a sign that is more than it seems": "postgres://u:hun℀ter2@db/name",
    "a port that is none": "postgres://u:hunter2@db:54x32/name",
    "no name": "postgres://u:hunter2@db",
    "another scheme": "mysql://u:hunter2@db/name",
    "nothing": "",
}


@pytest.mark.parametrize("url", WRONG_DATABASES.values(), ids=WRONG_DATABASES.keys())
def test_a_wrong_database_is_told_how_to_be_right_and_never_repeated(url: str) -> None:
    answer = load(DATABASE_URL=url)
    assert answer.returncode == 1
    said = answer.stderr.splitlines()[-1]
    assert "DATABASE_URL must look like postgres://user:password@host:5432/name" in said
    assert not re.search("hun|ter2|54x32", answer.stderr)


def test_a_wrong_redis_is_told_how_to_be_right_and_never_repeated() -> None:
    answer = load(REDIS_URL="redis://:hun/ter2@db:6379/0")
    assert answer.returncode == 1
    assert "REDIS_URL must look like redis://" in answer.stderr.splitlines()[-1]
    assert not re.search("hun|ter2", answer.stderr)


EFFECTIVE = """
import django, dramatiq, json
django.setup()
found = dramatiq.get_broker().client.connection_pool.connection_kwargs
names = ("host", "db", "socket_connect_timeout", "socket_timeout")
print(*[found[name] for name in names], found["retry"].get_retries())
"""


def test_whoever_enqueues_does_not_wait_long_for_redis() -> None:
    """By what the broker's connections are really made with."""
    url = "redis://somewhere:1/2"
    answer = run(EFFECTIVE, REDIS_URL=url, DJANGO_SETTINGS_MODULE=HARD)
    assert answer.stdout.split() == ["somewhere", "2", "1.0", "3.0", "0"], answer.stderr


ENQUEUE = """
import django, time
django.setup()
import dramatiq
from redis.exceptions import RedisError
began = time.monotonic()
try:
    dramatiq.actor(lambda: None, actor_name="any").send()
except RedisError as error:
    print(type(error).__name__, time.monotonic() - began < 4)
"""


def test_a_redis_that_is_mute_does_not_hold_up_whoever_enqueues() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"redis://127.0.0.1:{mute.getsockname()[1]}/0"
        answer = run(ENQUEUE, REDIS_URL=url, DJANGO_SETTINGS_MODULE=BASE)
    assert answer.stdout.split() == ["TimeoutError", "True"], answer.stderr


# The door -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"TWINBY_URL": "https://match.example"}, True),
        ({"TWINBY_URL": "http://127.0.0.1:8000"}, False),
        (
            {"TWINBY_URL": "https://match.example", "DJANGO_SETTINGS_MODULE": HARD},
            False,
        ),
    ],
)
def test_a_public_server_without_hardened_settings_says_so(
    given: dict[str, str], *, warned: bool
) -> None:
    answer = run("import twinby.wsgi", **given)
    assert answer.returncode == 0, answer.stderr
    assert (f"set DJANGO_SETTINGS_MODULE={HARD}" in answer.stderr) is warned
