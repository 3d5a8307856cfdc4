"""The virtual environment: made, filled with what has changed, repaired."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twinby.embedded.narration import Problem, say, wait_with_bar
from twinby.embedded.state import State, write_private

OLDEST = (3, 11)
LEAST_FREE_BYTES = 1024 * 1024
PIP = ["-m", "pip", "install", "--no-input", "--progress-bar", "off"]
QUIET = ["--disable-pip-version-check", "--root-user-action", "ignore"]
LOCKED = ["--require-hashes", "--no-deps"]  # the locks name every dependency
PINNED = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?(==[^\s;]+)", re.MULTILINE)
OFFLINE = re.compile(
    r"NewConnectionError|ConnectionError|Max retries|Connection refused"
    r"|ConnectTimeout|name resolution|Could not find a version"
)


@dataclass(frozen=True)
class Step:
    """One call of pip: what to install, and the file whose change makes it due."""

    name: str
    file: str
    arguments: tuple[str, ...]
    covers: tuple[str, ...] = ()
    keeps: str = ""  # a lock whose versions this step must not move


BASE = Step("base", "base.txt", (*LOCKED, "-r", "base.txt"))
DEVELOPMENT = Step("dev", "dev.txt", (*LOCKED, "-r", "dev.txt"), covers=("base",))
MODELS = Step("vlm", "vlm.txt", ("-r", "vlm.txt"), keeps="dev.txt")


@dataclass(frozen=True)
class Installation:
    """The clone's `.venv`, with a stamp in it that says what it holds."""

    root: Path
    state: State

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin/python"

    @property
    def packages(self) -> Path:
        """The folder that imports come from."""
        version = self._stamp()["version"]
        return self.venv / f"lib/python{version}/site-packages"

    def ensure(self, *steps: Step) -> None:
        """Makes the environment and installs what is missing or has changed."""
        if self._sound() and not self._due(steps):
            return
        with self.state.lock("install") as held:
            if not self._sound() and not self._adopted():
                self._make(held)
            for step in self._due(steps):
                self._install(step, held)

    @property
    def _unfinished(self) -> Path:
        """Is there from before the first change until after the last one."""
        return self.state.path / "installing"

    def _sound(self) -> bool:
        """Whether the environment is whole, ours to run, and where it was made."""
        return (
            not self._unfinished.exists()
            and os.access(self.python, os.X_OK)
            and self._stamp().get("home") == str(self.venv)
        )

    def _adopted(self) -> bool:
        """Takes over an environment that somebody has made by hand, if it is fit."""
        if self._unfinished.exists() or self._stamp():
            return False
        question = "import pip, sys; print(*sys.version_info[:2])"
        with suppress(OSError, subprocess.CalledProcessError, ValueError):
            answer = subprocess.check_output(  # noqa: S603 - the clone's Python
                [self.python, "-c", question], text=True, stderr=subprocess.DEVNULL
            )
            major, minor = map(int, answer.split())
            if (major, minor) >= OLDEST:
                self._write_stamp(home=str(self.venv), version=f"{major}.{minor}")
                return True
        return False

    def _stamp(self) -> dict[str, str]:
        with suppress(OSError, ValueError):
            return dict(json.loads((self.venv / "stamp.json").read_text()))
        return {}

    def _write_stamp(self, **facts: str) -> None:
        text = json.dumps(self._stamp() | facts, indent=1)
        write_private(self.venv / "stamp.json", text)
        (self.venv / "stamp.json").chmod(0o644)

    def _due(self, steps: Iterable[Step]) -> list[Step]:
        stamp = self._stamp()
        return [step for step in steps if stamp.get(step.name) != self._digest(step)]

    def _digest(self, step: Step) -> str:
        file = self.root / "requirements" / step.file
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def _make(self, held: int) -> None:
        _require_venv_module()
        say(f"Making {self.venv} with Python {platform.python_version()}")
        self._unfinished.touch()
        _clear(self.venv)
        self._call([sys.executable, "-m", "venv", str(self.venv)], held)
        version = "{}.{}".format(*sys.version_info)
        self._write_stamp(home=str(self.venv), version=version)
        self._unfinished.unlink()

    def _install(self, step: Step, held: int) -> None:
        file = self.root / "requirements" / step.file
        names = re.findall(r"^([\w.-]+)[=><\[]", file.read_text(), re.MULTILINE)
        say(f"Installing {len(names)} packages of requirements/{step.file}")
        started = time.monotonic()
        self._unfinished.touch()
        # Another package that wants torch would bring its newest, with CUDA.
        first = re.findall(r"^torch==\S+", file.read_text(), re.MULTILINE)
        limits = self._limits(step)
        for arguments in ([first] if first else []) + [list(step.arguments)]:
            command = [str(self.python), *PIP, *QUIET, *limits, *arguments]
            self._call(command, held, packages=len(names))
        digest = self._digest(step)
        covered = {name: self._cover(name) for name in step.covers}
        self._write_stamp(**{step.name: digest}, **covered)
        self._unfinished.unlink()
        say(f"Installed in {time.monotonic() - started:.0f} s")

    def _limits(self, step: Step) -> list[str]:
        """Makes pip keep the versions of a lock that is installed already.

        Without the lock's hashes: with one of them, pip asks one of every package.
        """
        if not step.keeps:
            return []
        lock = (self.root / "requirements" / step.keeps).read_text()
        file = self.state.path / "versions.txt"
        file.write_text("\n".join("".join(pin) for pin in PINNED.findall(lock)))
        return ["-c", str(file)]

    def _cover(self, name: str) -> str:
        return self._digest(Step(name, f"{name}.txt", ()))

    def _call(self, arguments: list[str], held: int, *, packages: int = 0) -> None:
        """Runs a command in `requirements`; Problem with one sentence if it fails.

        It inherits the lock, so that a `run` that is killed does not leave a pip behind
        which writes into an environment that the next one makes anew.
        """
        log = self.state.log("install")
        with log.open("wb") as stream:
            child = subprocess.Popen(  # noqa: S603 - this Python
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                cwd=self.root / "requirements",
                env=_environment(),
                pass_fds=[held],
            )
        status = wait_with_bar(
            child, "installing", total=2 * packages, done=lambda: self._progress(log)
        )
        if status:
            raise self._explained(log)

    def _progress(self, log: Path) -> int:
        """Packages found and packages in place, of twice their number in all."""
        said = log.read_text(errors="replace")
        found = re.findall(r"^(?:Collecting|Requirement already)", said, re.MULTILINE)
        return len(found) + len(list(self.venv.glob("lib/*/site-packages/*.dist-info")))

    def _explained(self, log: Path) -> Problem:
        said = log.read_text(errors="replace")
        # On a full disk there may be no room to say so.
        free = shutil.disk_usage(self.root).free
        if "No space left on device" in said or free < LEAST_FREE_BYTES:
            return Problem(f"The disk is full: {self.venv} needs about 2 GB.")
        self._unfinished.unlink()  # it failed by itself, before it changed anything
        if "DO NOT MATCH THE HASHES" in said:
            return Problem(f"A package is not the one that was locked: see {log}.")
        if OFFLINE.search(said):
            return Problem(f"No package index can be reached: see {log}.")
        return Problem(f"The packages cannot be installed: see {log}.")


def _environment() -> Mapping[str, str]:
    """Ours, less what would make pip install somewhere else."""
    unwanted = {"PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "VIRTUAL_ENV"}
    return {key: text for key, text in os.environ.items() if key not in unwanted}


def _require_venv_module() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise Problem(
            "This Python has no venv module: install it (on Debian and Ubuntu: "
            "apt install python3-venv)."
        ) from None


def _clear(venv: Path) -> None:
    """Removes an environment; one of another user's is moved out of the way."""
    if venv.is_symlink():
        venv.unlink()
    shutil.rmtree(venv, ignore_errors=True)
    if venv.exists():
        venv.rename(venv.with_name(f".venv.{secrets.token_hex(4)}"))
