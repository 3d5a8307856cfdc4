"""The programs of a site: the web server, a worker, the clock; and commands beside."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from twinby.embedded.narration import Bar, Interrupted, Problem, say, wait_with_bar
from twinby.embedded.ports import HOST
from twinby.embedded.services import Services
from twinby.embedded.supervisor import TICK_SECONDS, Program, Supervisor

WEB_SECONDS = 90.0
QUICK_ENDS = 3
WEB = [
    *("-m", "granian", "--interface", "wsgi", "--host", HOST, "--no-ws"),
    *("--workers", "2", "--blocking-threads", "4", "--respawn-failed-workers"),
    # A worker that is told to stop while it starts may never hear of it.
    *("--workers-kill-timeout", "8"),
]
# Processes are our parallelism: OpenBLAS's own threads, in a web server's thread with a
# stack of 2 MB, once ended a web process with SIGSEGV.
NUMERICS = {"OPENBLAS_NUM_THREADS": "1", "RUST_MIN_STACK": "16777216"}
WORKER = ["rundramatiq", "--processes", "1", "--threads", "2"]
# Dramatiq would wait ten minutes for its jobs. Batches of a large model take seconds
# each, and every thread may hold one; what takes longer runs again elsewhere.
WORKER_STOP = ["--worker-shutdown-timeout", "30000"]
# The library's heartbeat goes to a queue of its own, where it may have no worker.
CLOCK = ["crontab", "--no-heartbeat"]


class Site:
    """What serves and works, while one command runs; with a port, the web as well."""

    def __init__(
        self,
        services: Services,
        root: Path,
        port: int | None = None,
        *,
        log: bool = False,
        extra: Mapping[str, str] | None = None,
        worker: Sequence[str] = (),
    ) -> None:
        self.services = services
        self.root = root
        self.port = port
        self.log = log
        self.extra = extra or {}
        self.supervisor = Supervisor(self._programs(worker), self._environment)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}" if self.port else ""

    @contextmanager
    def running(self, command: str) -> Iterator[Site]:
        """Migrates, starts everything, and stops it at the end."""
        with self.services.used(command=command, web=self.url):
            migrate(self.services, self.root, self._environment())
            try:
                self.supervisor.start()
                self._wait_for_web()
                yield self
            finally:
                self.supervisor.stop()

    def serve(self) -> None:
        """Looks after the programs until somebody wants an end."""
        say(f"Serving at {self.url}: Ctrl-C ends it" if self.port else "Working")
        self.supervisor.run(until=lambda: False)

    def beside(self, command: Sequence[str]) -> int:
        """Runs a command to its end while looking after the programs; its status."""
        child = subprocess.Popen(  # noqa: S603 - our own Python
            command, env=self._environment(), cwd=self.root, start_new_session=True
        )
        try:
            self.supervisor.run(until=lambda: child.poll() is not None)
        finally:
            child.terminate()
            status = child.wait()
        return status

    def _environment(self) -> dict[str, str]:
        named = {"TWINBY_URL": self.url} if self.port else {}
        return {**NUMERICS, **named, **self.services.environment(), **self.extra}

    def _programs(self, worker: Sequence[str]) -> Iterator[Program]:
        python = str(self.services.installation.python)
        manage = [python, str(self.root / "manage.py")]
        if self.port:
            web = [python, *WEB, "--port", str(self.port), "twinby.wsgi:application"]
            yield self._program("web server", web)
        yield self._program("worker", [*manage, *WORKER, *WORKER_STOP, *worker])
        yield self._program("clock", [*manage, *CLOCK])

    def _program(self, name: str, arguments: Sequence[str]) -> Program:
        log = self.services.state.log(name.replace(" ", "-")) if self.log else None
        return Program(name, arguments, self.root, log)

    def _wait_for_web(self) -> None:
        if not self.port:
            return
        web = self.supervisor.programs[0]

        def look_after() -> bool:
            self.supervisor.tick()
            return web.ends < QUICK_ENDS

        if not wait_for_answer(self.url, meanwhile=look_after):
            where = f"see {web.log}" if web.log else "its last words are above"
            raise Problem(f"The web server does not start: {where}.")


def wait_for_answer(url: str, *, meanwhile: Callable[[], bool] = lambda: True) -> bool:
    """Whether a web server answers in time; gives up once `meanwhile` is false."""
    deadline = time.monotonic() + WEB_SECONDS
    with Bar("starting the web server") as bar:
        while not answers(f"{url}/v1/livez"):
            if time.monotonic() > deadline or not meanwhile():
                return False
            bar.draw()
            time.sleep(TICK_SECONDS)
    return True


def answers(url: str) -> bool:
    """Whether a web server is there, whatever it thinks of the request."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


def migrate(services: Services, root: Path, environment: Mapping[str, str]) -> None:
    """Brings the database up to date, one command at a time."""
    say("Bringing the database up to date")
    log = services.state.log("migrate")
    python = str(services.installation.python)
    command = [python, str(root / "manage.py"), "migrate", "--no-input"]
    with services.state.lock("migrate"), log.open("wb") as stream:
        child = subprocess.Popen(  # noqa: S603 - our own Python
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environment,
        )
        status = wait_with_bar(child, "migrating")
    if status:
        last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
        raise Problem(f"The database cannot be brought up to date ({last}): see {log}.")


def foreground(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    folder: Path | None = None,
) -> int:
    """Runs a command that owns the terminal, Ctrl-C included; its exit status."""
    child = subprocess.Popen(  # noqa: S603 - our own Python
        command, env=environment, cwd=folder
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        status = child.wait()
    except Interrupted:  # not from the terminal: the child does not know yet
        child.terminate()
        status = child.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    return 128 - status if status < 0 else status
