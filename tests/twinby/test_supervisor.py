"""Programs that end are started again; a supervisor that ends takes its own along."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from twinby.embedded import process
from twinby.embedded.narration import Problem
from twinby.embedded.supervisor import (
    LONGEST_PAUSE_SECONDS,
    Program,
    Supervisor,
)

pytestmark = pytest.mark.services
ROOT = Path(__file__).resolve().parents[2]

Supervise = Callable[..., Supervisor]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Starts shell scripts under a supervisor, which is stopped in the end."""
    started = []

    def start(*scripts: str, place: dict[str, str] | None = None) -> Supervisor:
        programs = [
            Program(script, ["sh", "-c", script], tmp_path, tmp_path / "log")
            for script in scripts
        ]
        here = {"PATH": os.defpath} if place is None else place
        supervisor = Supervisor(programs, lambda: dict(here))
        supervisor.start()
        started.append(supervisor)
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def pid_of(supervisor: Supervisor) -> int:
    running = supervisor.programs[0].process
    return running.pid if running else 0


def run_for(supervisor: Supervisor, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    supervisor.run(until=lambda: time.monotonic() > deadline)


def test_a_program_that_is_killed_is_started_again(supervise: Supervise) -> None:
    supervisor = supervise("exec sleep 100")
    before = pid_of(supervisor)
    os.kill(before, signal.SIGKILL)
    run_for(supervisor, 2)
    assert pid_of(supervisor) != before
    assert process.command_line(pid_of(supervisor))


def test_a_program_that_ends_at_once_is_given_longer_pauses(tmp_path: Path) -> None:
    program = Program("quick", ["true"], tmp_path)
    program.started = time.monotonic()
    pauses = [program.pause() for _ in range(10)]
    assert pauses[:3] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_program_that_refuses_its_arguments_ends_the_command(
    supervise: Supervise,
) -> None:
    supervisor = supervise("exit 2", "exec sleep 100")
    with pytest.raises(Problem, match=r"cannot start like this: see .*log"):
        run_for(supervisor, 20)


def test_a_program_that_ran_for_long_is_started_again_soon(tmp_path: Path) -> None:
    program = Program("steady", ["true"], tmp_path)
    program.ends = 9
    program.started = time.monotonic() - 3600
    assert program.pause() == 0.5


def test_what_a_dead_program_left_running_is_ended(
    supervise: Supervise, tmp_path: Path
) -> None:
    told = tmp_path / "child"
    told.touch()
    supervisor = supervise("sleep 100 & echo $! > child; exec sleep 100")
    assert process.wait_until(lambda: bool(told.read_text()), seconds=5)
    child = int(told.read_text())
    os.kill(pid_of(supervisor), signal.SIGKILL)
    run_for(supervisor, 1)
    assert not process.command_line(child)


def test_programs_follow_services_that_move(
    supervise: Supervise, tmp_path: Path
) -> None:
    place = {"PATH": os.defpath, "WHERE": "here"}
    places = tmp_path / "places"
    places.touch()  # so that what is waited for is what it says, not that it is open
    supervisor = supervise("echo $WHERE >> places; exec sleep 100", place=place)
    assert process.wait_until(lambda: bool(places.read_text()), seconds=5)
    place["WHERE"] = "there"
    run_for(supervisor, 1.5)
    assert places.read_text().split() == ["here", "there"]


def test_a_program_that_does_not_want_to_end_is_ended(
    supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinby.embedded.supervisor.STOP_SECONDS", 0.5)
    supervisor = supervise("trap '' TERM; echo ready; while :; do sleep 1; done")
    log = supervisor.programs[0].log
    assert log
    assert process.wait_until(lambda: "ready" in log.read_text(), seconds=5)
    stubborn = pid_of(supervisor)
    supervisor.stop()
    assert not process.command_line(stubborn)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a child of this")
def test_a_killed_supervisor_takes_its_programs_along() -> None:
    program = (
        "import os; from pathlib import Path\n"
        "from twinby.embedded.supervisor import *\n"
        "sleep = Program('sleep', ['sleep', '100'], Path('/'))\n"
        "supervisor = Supervisor([sleep], lambda: dict(os.environ))\n"
        "supervisor.start(); print(sleep.process.pid, flush=True)\n"
        "supervisor.run(until=lambda: False)"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        sleep = int(other.stdout.readline())
        assert process.command_line(sleep)
        other.kill()
    assert process.wait_until(lambda: not process.command_line(sleep), seconds=5)
