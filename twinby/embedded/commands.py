"""The commands of ./run: each reads as what it does, in order."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twinby.embedded import process
from twinby.embedded.checks import run_checks
from twinby.embedded.installation import BASE, DEVELOPMENT, MODELS, Installation, Step
from twinby.embedded.narration import Problem, say
from twinby.embedded.ports import HOST
from twinby.embedded.services import Services, given, stop
from twinby.embedded.serving import Site, foreground, migrate, wait_for_answer
from twinby.embedded.standalone import is_standalone
from twinby.embedded.state import State
from twinby.embedded.web_port import claimed_port

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 60.0
# All tests, by a process for each core; a file's tests stay together.
SHARED = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")


def demo(arguments: Sequence[str]) -> int:
    """Loads people, annotates and searches; stays to serve unless told `--once`."""
    options, others = _options("demo", arguments)
    services = _services(BASE)
    once = ["--once"] if options.once else []
    command = _manage(services, "demo", *once, *others)
    if url := _web_of(services.state):
        wait_for_answer(url)
        return foreground(command, services.environment() | {"TWINBY_URL": url})
    with claimed_port(services.state, options.port) as port:
        own = {"TWINBY_URL": f"http://{HOST}:{port}", "TWINBY_DEMO_PAGE": "true"}
        with Site(services, ROOT, port, log=True, extra=own).running("demo") as site:
            status = site.beside(command)
            if status == 0 and not options.once:
                site.serve()
            return status


def serve(arguments: Sequence[str]) -> int:
    """The web server, a worker and the clock, until told to stop."""
    options, others = _options("serve", arguments)
    if others:
        raise Problem(f"./run serve does not know {others[0]}: see ./run serve --help.")
    services = _services(BASE)
    if url := _web_of(services.state):
        raise Problem(f"It is being served already, at {url}: ./run stop ends that.")
    with (
        claimed_port(services.state, options.port) as port,
        Site(services, ROOT, port).running("serve") as site,
    ):
        site.serve()
    return 0


def worker(arguments: Sequence[str]) -> int:
    """A worker and the clock, until told to stop; the arguments are rundramatiq's."""
    if {"--help", "-h"} & set(arguments):
        return manage(["rundramatiq", "--help"])
    with Site(_services(BASE), ROOT, worker=arguments).running("worker") as site:
        site.serve()
    return 0


def manage(arguments: Sequence[str]) -> int:
    """One of Django's commands. Where it needs no service, it starts none."""
    services = _services(BASE, queue=not given("DATABASE_URL"))
    if is_standalone(arguments):
        return foreground(_manage(services, *arguments), services.surroundings())
    with services.used(command="manage"):
        return foreground(_manage(services, *arguments), services.environment())


def bench(arguments: Sequence[str]) -> int:
    """One benchmark of `bench/`, on a migrated database."""
    known = sorted(file.stem for file in (ROOT / "bench").glob("[!_]*.py"))
    if not arguments or arguments[0] not in known:
        raise Problem(f"Which benchmark? There is {', '.join(known) or 'none yet'}.")
    services = _services(BASE)
    with services.used(command="bench"):
        environment = services.environment()
        migrate(services, ROOT, environment)
        name, *rest = arguments
        python = str(services.installation.python)
        environment["PYTHONPATH"] = str(ROOT)  # and the caller's folder stays theirs
        return foreground([python, "-m", f"bench.{name}", *rest], environment)


def test(arguments: Sequence[str]) -> int:
    """Lint, types, the import law, settings, then pytest with the arguments."""
    home = State(ROOT / ".twinby")
    installation = _installed(home, DEVELOPMENT, MODELS)
    services = Services(State(home.path / "test"), installation, durable=False)
    if services.state.users():
        raise Problem("Another ./run test of this clone is running: wait for it.")
    with services.used(command="test"):
        environment = services.environment()
        environment.pop("DJANGO_SETTINGS_MODULE", None)  # tests have their own
        python = str(installation.python)
        run_checks(ROOT, python, environment, log=services.state.log("checks"))
        say("pytest")
        command = [python, "-m", "pytest", *(arguments or SHARED)]
        return foreground(command, environment, folder=ROOT)


def stop_everything(arguments: Sequence[str]) -> int:
    """Ends every command and service of this clone."""
    home = State(ROOT / ".twinby")
    stopped = []
    for state in (home, State(home.path / "test")):
        stopped += _end_users(state)
        with state.lock():
            stopped += stop(state)
    say(f"Stopped {', '.join(stopped)}" if stopped else "Nothing was running")
    return 0


COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "serve": serve,
    "worker": worker,
    "manage": manage,
    "bench": bench,
    "test": test,
    "stop": stop_everything,
}


def _options(
    command: str, arguments: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """What we know of the arguments, and the others."""
    parser = argparse.ArgumentParser(prog=f"./run {command}")
    if command == "demo":
        parser.add_argument("--once", action="store_true", help="search, then stop")
    parser.add_argument("--port", type=int, help="of the web server, else 8000")
    return parser.parse_known_args(arguments)


def _installed(state: State, *steps: Step) -> Installation:
    installation = Installation(ROOT, state)
    installation.ensure(*steps)
    return installation


def _services(*steps: Step, queue: bool = True) -> Services:
    state = State(ROOT / ".twinby")
    return Services(state, _installed(state, *steps), queue=queue)


def _manage(services: Services, *arguments: str) -> list[str]:
    return [str(services.installation.python), str(ROOT / "manage.py"), *arguments]


def _web_of(state: State) -> str | None:
    """Where another command of this clone serves, if one does."""
    for facts in state.users().values():
        if url := facts.get("web"):
            return str(url)
    return None


def _end_users(state: State) -> list[str]:
    """Ends the other commands that use this state; their names."""
    users = state.users()
    for pid in users:
        _end_user(state, pid)
    return [str(facts.get("command")) for facts in users.values()]


def _end_user(state: State, pid: int) -> None:
    process.end(
        pid,
        politely=signal.SIGTERM,
        seconds=STOP_SECONDS,
        alive=lambda: pid in state.users(),
    )
