"""The operators' page says how to start what ./run starts."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from django.core.management import load_command_class
from granian.cli import cli

from twinby.embedded import serving
from twinby.settings import postgres

ROOT = Path(__file__).resolve().parents[2]
# What depends on the machine, and not on the product.
OF_A_MACHINE = {"host", "port"}


def commands(program: str) -> list[list[str]]:
    """The arguments of every command on the page that begins like this."""
    page = (ROOT / "docs/operations.md").read_text()
    blocks = "\n".join(re.findall(r"^```\n(.+?)^```", page, re.DOTALL | re.MULTILINE))
    lines = blocks.replace("\\\n", " ").splitlines()
    return [shlex.split(line[len(program) :]) for line in lines if program in line]


def of_granian(arguments: list[str]) -> dict[str, Any]:
    """What granian itself makes of its arguments."""
    found = cli.make_context("granian", arguments).params
    return {name: found[name] for name in found.keys() - OF_A_MACHINE}


def of_workers(arguments: list[str]) -> Any:
    command = load_command_class("django_dramatiq", "rundramatiq")
    return command.create_parser("manage.py", "rundramatiq").parse_args(arguments)


@pytest.fixture
def documented() -> dict[str, Any]:
    """The web server of production."""
    (arguments,) = commands("granian")
    return of_granian(arguments)


def test_the_web_server_is_started_as_by_run(documented: dict[str, Any]) -> None:
    embedded = serving.WEB[serving.WEB.index("granian") + 1 :]
    assert documented == of_granian([*embedded, "twinby.wsgi:application"])


def test_every_thread_of_the_web_server_finds_a_connection(
    documented: dict[str, Any],
) -> None:
    pool = postgres.database("postgres://somewhere/base")["OPTIONS"]["pool"]
    assert documented["blocking_threads"] <= pool["max_size"]


def test_numerics_are_given_what_run_gives_them() -> None:
    exported = {word for line in commands("export ") for word in line}
    assert {f"{name}={value}" for name, value in serving.NUMERICS.items()} <= exported


def test_the_clock_is_started_as_by_run_and_beats_for_nobody() -> None:
    assert [["crontab", *rest] for rest in commands("python manage.py crontab")] == [
        serving.CLOCK
    ]
    parser = load_command_class("dramatiq_crontab", "crontab").create_parser("", "")
    assert parser.parse_args(serving.CLOCK[1:]).no_heartbeat


def test_workers_are_started_as_by_run() -> None:
    everything, *_ = commands("python manage.py rundramatiq")
    embedded = [*serving.WORKER[1:], *serving.WORKER_STOP]
    assert of_workers(everything) == of_workers(embedded)


def test_no_queue_is_without_a_worker_where_some_have_a_gpu() -> None:
    for app in ("profiles", "annotation", "matching", "demo"):
        import_module(f"{app}.tasks")
    ours = ("profiles.", "annotation.", "matching.", "demo.")
    actors = dramatiq.get_broker().actors.values()
    needed = {one.queue_name for one in actors if one.fn.__module__.startswith(ours)}
    _, *split = [of_workers(one) for one in commands("python manage.py rundramatiq")]
    assert {queue for worker in split for queue in worker.queues} == needed
