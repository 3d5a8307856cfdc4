"""Nothing is lost when a process dies: a real worker, Postgres and Valkey, SIGKILL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from twinby.embedded import State, process, stop_postgres, stop_valkey
from twinby.embedded.installation import Installation
from twinby.embedded.services import Services
from twinby.embedded.supervisor import Program, Supervisor

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = 204
IN_THE_MIDDLE = 16
PATIENCE_SECONDS = 90.0
AGAIN_SECONDS = 30.0  # in which a killed worker's jobs have run again


@dataclass
class Site:
    """A worker under the product's own supervisor, with services of its own."""

    services: Services
    environment: dict[str, str]
    worker: Program

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=120,
        )

    def count(self, status: str) -> int:
        question = "SELECT count(*) FROM annotation_annotation WHERE status = %s"
        try:
            with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
                row = connection.execute(question, [status]).fetchone()
        except psycopg.OperationalError:  # it was killed a moment ago
            return -1
        assert row
        return int(row[0])

    def forget_all_readings(self) -> None:
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            connection.execute("DELETE FROM annotation_annotation")

    def kill_worker(self) -> None:
        assert self.worker.process
        os.killpg(self.worker.process.pid, signal.SIGKILL)

    def kill_postgres(self) -> None:
        kill_by_argument("postgres", str(self.services.state.path.parent))

    def kill_valkey(self) -> None:
        kill_by_argument("valkey-server", str(self.services.state.path.parent))


def kill_by_argument(program: str, argument: str) -> None:
    """SIGKILL to the one process of this name with this in its command line."""
    found = [
        pid
        for pid in (int(folder.name) for folder in Path("/proc").glob("[0-9]*"))
        if (line := process.command_line(pid))
        and Path(line[0]).name == program
        and argument in " ".join(line)
    ]
    assert found
    os.kill(min(found), signal.SIGKILL)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The demo's people, loaded once; a worker that is looked after."""
    folder = Path(tempfile.mkdtemp(prefix="twinby-resilience-"))
    folder.chmod(0o755)
    state = State(folder / "state", folder)
    installation = Installation(ROOT, State(ROOT / ".twinby"))
    services = Services(state, installation, durable=False)
    environment = settled(services)
    command = [sys.executable, "manage.py", "rundramatiq", "-p", "1", "-t", "2"]
    worker = Program("worker", command, ROOT, state.log("worker"))
    site = Site(services, environment, worker)
    supervisor = Supervisor([worker], lambda: settled(services))
    over = threading.Event()
    try:
        site.manage("migrate", "--no-input")
        site.manage("loaddemo")
        supervisor.start()
        looking_after = threading.Thread(target=supervisor.run, args=[over.is_set])
        looking_after.start()
        yield site
        over.set()
        looking_after.join()
    finally:
        supervisor.stop()
        stop_valkey(state)
        stop_postgres(state)
        shutil.rmtree(folder, ignore_errors=True)


def settled(services: Services) -> dict[str, str]:
    """The environment of a site of its own, whatever the tests' own one says."""
    given = {"DATABASE_URL", "REDIS_URL", "TWINBY_MEDIA", "DJANGO_SETTINGS_MODULE"}
    kept = {name: os.environ.pop(name, None) for name in given}
    try:
        return services.environment()
    finally:
        os.environ.update({name: value for name, value in kept.items() if value})


def wait(
    condition: Callable[[], bool],
    *,
    seconds: float = PATIENCE_SECONDS,
    pause: float = 0.05,
) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(pause)
    return False


@pytest.mark.parametrize(
    ("victim", "seconds"),
    [
        ("worker", AGAIN_SECONDS),
        ("valkey", PATIENCE_SECONDS),
        ("postgres", PATIENCE_SECONDS),
    ],
)
def test_a_kill_in_the_middle_of_an_annotation_run_loses_no_photo(
    site: Site, victim: str, seconds: float
) -> None:
    assert wait(lambda: site.count("done") == PHOTOS)  # the demo's own run
    site.forget_all_readings()
    site.manage("annotate", "--queue")
    assert wait(lambda: site.count("done") >= IN_THE_MIDDLE, pause=0.01)
    getattr(site, f"kill_{victim}")()
    assert site.count("done") < PHOTOS, "the kill came too late to show anything"
    assert wait(lambda: site.count("done") == PHOTOS, seconds=seconds)
    assert site.count("failed") == site.count("pending") == 0
