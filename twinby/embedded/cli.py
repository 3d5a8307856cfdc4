"""The door of ./run: finds the command, and tells in a sentence what goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from twinby.embedded.commands import COMMANDS, ROOT
from twinby.embedded.narration import Interrupted, Problem, say

USAGE = """\
./run demo [--once] [--port N]   load real people, annotate, search; then serve
./run serve [--port N]           the web server, a worker and the clock
./run worker [options]           a worker and the clock; options of rundramatiq
./run manage COMMAND ...         Django's commands
./run bench NAME ...             a benchmark; its result goes to stdout
./run test [pytest options]      all checks and tests
./run stop                       stop everything that runs from this folder

DATABASE_URL and REDIS_URL replace the services that come along: see .env.example.
"""
FAILED, MISUSED, INTERRUPTED = 1, 2, 130
WISHES_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Runs one command; the exit status."""
    name, *rest = arguments or ["--help"]
    if name in {"--help", "-h", "help"}:
        sys.stdout.write(USAGE)
        return 0
    if name not in COMMANDS:
        say(f"There is no command {name}: ./run --help lists them.")
        return MISUSED
    for wish in WISHES_TO_END:
        signal.signal(wish, _interrupt)
    try:
        read_env_file(ROOT / ".env")
        return COMMANDS[name](rest)
    except Interrupted:
        say("Stopped")
        return INTERRUPTED
    except Problem as problem:
        say(str(problem))
    except OSError as error:
        say(_sentence(error))
    return FAILED


def read_env_file(file: Path) -> None:
    """Takes NAME=value lines as environment variables; the environment's own win."""
    with suppress(FileNotFoundError):
        for line in file.read_text().splitlines():
            name, equals, text = line.strip().partition("=")
            if equals and not name.startswith("#"):
                os.environ.setdefault(name.strip(), text.strip().strip("'\""))


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first wish to end is followed; more of them must not disturb the end."""
    for wish in WISHES_TO_END:
        signal.signal(wish, signal.SIG_IGN)
    raise Interrupted


def _sentence(error: OSError) -> str:
    place = error.filename or "this folder"
    if error.errno == errno.ENOSPC:
        return f"The disk is full: there is no room for {place}."
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{place} belongs to another user: run as that user, or remove it."
    return f"{error.strerror or error}: {place}."
