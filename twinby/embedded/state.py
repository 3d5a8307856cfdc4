"""The state of one clone: its folder, secrets, ports, locks, and who is using it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from twinby.embedded.narration import Problem, say
from twinby.embedded.ports import free_port, port_is_free
from twinby.embedded.process import wait_until

SECRET_BYTES = 48
CLOSING_SECONDS = 2.0
SILENT_SECONDS = 1.0


@dataclass(frozen=True)
class State:
    """`.twinby` of a clone; `outside` is where root keeps what another user must reach.

    A clone may lie under a folder that only root can enter. Postgres refuses to run as
    root, so what it needs lies outside, in a folder that nobody but root can write to.
    """

    path: Path
    outside: Path = Path("/var/lib/twinby")

    def __post_init__(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.geteuid() not in {0, self.path.stat().st_uid}:
            raise Problem(
                f"{self.path} belongs to another user: run as that user, or remove it."
            )
        self.path.chmod(0o700)

    def folder(self, name: str) -> Path:
        """A private folder in the state, made when needed."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        return self.folder("logs") / f"{name}.log"

    def secret(self, name: str) -> str:
        """The secret of that name, made once and kept in a file of mode 0600."""
        file = self.path / name
        with suppress(FileNotFoundError):
            return file.read_text()
        draft = self.path / f"{name}.{os.getpid()}.{secrets.token_hex(4)}"
        write_private(draft, secrets.token_urlsafe(SECRET_BYTES))
        try:
            with suppress(FileExistsError):  # somebody else was first: theirs counts
                os.link(draft, file)
        finally:
            draft.unlink()
        return file.read_text()

    def port(self, name: str) -> int:
        """The remembered port where it is free, else a new one, remembered.

        A killed service is gone a moment before the kernel has closed its sockets.
        """
        port = self.remembered_port(name)
        if port and wait_until(partial(port_is_free, port), seconds=CLOSING_SECONDS):
            return port
        port = free_port()
        self.remember_port(name, port)
        return port

    def remembered_port(self, name: str) -> int | None:
        with suppress(FileNotFoundError, ValueError):
            return int((self.path / f"{name}.port").read_text())
        return None

    def remember_port(self, name: str, port: int) -> None:
        write_private(self.path / f"{name}.port", str(port))

    @contextmanager
    def lock(self, name: str = "services") -> Iterator[int]:
        """Held by one process at a time; yields the descriptor. The kernel frees it."""
        descriptor = os.open(self.path / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _wait_for(descriptor, name)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def using(self, **facts: Any) -> Iterator[None]:
        """Names this process as a user of the services, with what others may know.

        The name is a locked file: a process that was killed holds no lock, so it never
        counts, whoever has its number now.
        """
        file = self.folder("users") / str(os.getpid())
        draft = file.with_suffix(".draft")
        with self.lock():
            write_private(draft, json.dumps(facts))
            holder = os.open(draft, os.O_RDONLY)
            fcntl.flock(holder, fcntl.LOCK_EX)
            draft.rename(file)  # nobody ever sees it unlocked
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
            os.close(holder)

    def users(self) -> dict[int, dict[str, Any]]:
        """Who else uses the services: {pid: facts}. Forgets the dead."""
        others = {}
        for file in self.folder("users").iterdir():
            if file.suffix or file.name == str(os.getpid()):
                continue
            with suppress(FileNotFoundError), file.open() as stream:
                if locks(stream.fileno(), fcntl.LOCK_SH):
                    file.unlink()
                else:
                    others[int(file.name)] = _facts(stream.read())
        return others


def write_private(file: Path, text: str) -> None:
    """Writes the whole text or nothing, in a file that only its owner can read."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}.draft")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def locks(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Whether the file is ours from now on, and not somebody else's."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait_for(descriptor: int, name: str) -> None:
    """Locks the file; says so where that takes long."""
    if not wait_until(lambda: locks(descriptor), seconds=SILENT_SECONDS):
        say(f"Waiting for another ./run of this clone ({name})")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _facts(text: str) -> dict[str, Any]:
    with suppress(ValueError):
        return dict(json.loads(text))
    return {}
