"""The web server's port: asked for or found, and claimed before the server has it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twinby.embedded.narration import Problem
from twinby.embedded.ports import free_port, port_is_free
from twinby.embedded.state import State, locks

FIRST_PORT = 8000
LAST_PORT = 65_535


@contextmanager
def claimed_port(state: State, asked: int | None) -> Iterator[int]:
    """A free port that no other clone of this user takes while this lasts.

    The web server's workers share their port (SO_REUSEPORT), and so would another
    clone's: without a claim, two that start at once would answer for each other.
    """
    wanted = asked or _from_environment()
    ports = iter([wanted]) if wanted else _candidates(state)
    for port in ports:
        if claim := _claim(port):
            break
    else:
        raise Problem(
            f"Port {wanted} is taken, or only root may have it: choose another with "
            "--port or TWINBY_PORT."
        )
    try:
        if not wanted:
            state.remember_port("web", port)
        yield port
    finally:
        os.close(claim)


def _from_environment() -> int | None:
    text = os.environ.get("TWINBY_PORT")
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) <= LAST_PORT:
        raise Problem(f"TWINBY_PORT must be a port, and {text} is none.")
    return int(text)


def _candidates(state: State) -> Iterator[int]:
    """The last one, the usual one, then any."""
    if last := state.remembered_port("web"):
        yield last
    yield FIRST_PORT
    while True:
        yield free_port()


def _claim(port: int) -> int | None:
    """The descriptor of a lock that stands for the port, where both can be had."""
    descriptor = os.open(_claims() / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    if locks(descriptor) and port_is_free(port):
        return descriptor
    os.close(descriptor)
    return None


def _claims() -> Path:
    """This user's folder of locks; only one user's servers can share a port."""
    folder = Path(tempfile.gettempdir()) / f"twinby-{os.geteuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise Problem(f"{folder} belongs to another user: remove it.")
    return folder
