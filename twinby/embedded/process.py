"""Processes: who a number belongs to, starting a service, ending one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02

# Services outlive the command that started them; those that did not are reaped here.
_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Account:
    """Another user to run as, without any supplementary group."""

    uid: int
    gid: int


def command_line(pid: int) -> list[str]:
    """The arguments of a live process; [] where there is none or only its zombie."""
    _reap()
    if pid <= 0:
        return []
    if Path("/proc/self/stat").exists():
        return _command_line_from_proc(pid)
    answer = subprocess.run(  # noqa: S603 - a number of ours
        ["/bin/ps", "-o", "stat=,args=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    status, _, command = answer.stdout.strip().partition(" ")
    return [] if status.startswith("Z") else command.split()


def spawn(
    arguments: Sequence[str], *, log: Path, account: Account | None = None
) -> subprocess.Popen[bytes]:
    """Starts a service in a session of its own, so that no Ctrl-C reaches it."""
    with log.open("ab") as stream:
        log.chmod(0o600)
        child = subprocess.Popen(  # noqa: S603 - our own binaries
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            cwd="/",
            env=plain_environment(),
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    _children.append(child)
    return child


def plain_environment() -> Mapping[str, str]:
    """Nothing of the caller's: PGPORT, PGDATA and the like would change a service."""
    return {"PATH": os.defpath, "LC_ALL": "C"}


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """True as soon as the condition holds, False once the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(
    pid: int, *, politely: signal.Signals, seconds: float, alive: Callable[[], bool]
) -> None:
    """Asks a process that is alive to end; kills it once the time is over."""
    if not alive():
        return
    for how, patience in ((politely, seconds), (signal.SIGKILL, 10.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, how)
        if wait_until(lambda: not alive(), seconds=patience):
            return


def _command_line_from_proc(pid: int) -> list[str]:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    if status.rpartition(")")[2].split()[0] in {"Z", "X"}:
        return []
    return [part.decode(errors="replace") for part in command.split(b"\0") if part]


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]
