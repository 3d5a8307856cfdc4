"""Programs that are started, started again when they end, and stopped together."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from twinby.embedded.narration import Problem, say

TICK_SECONDS = 0.25
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
HEALTHY_SECONDS = 60.0  # after so long a run, an end counts as the first again
STOP_SECONDS = 40.0  # more than a worker takes for the batches it holds
MISUSED = 2  # the status of programs whose arguments or modules make no sense
SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>


@dataclass
class Program:
    """A command to keep running; its output goes to `log`, or to our stderr."""

    name: str
    arguments: Sequence[str | Path]
    folder: Path
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    ends: int = field(default=0, init=False)

    def start(self, environment: Mapping[str, str]) -> None:
        output = self.log.open("ab") if self.log else sys.stderr.buffer
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own programs
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        finally:
            if self.log:
                output.close()
        self.started = time.monotonic()

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def is_misused(self) -> bool:
        """Whether it refused to start at all, which starting it again won't change."""
        ran = time.monotonic() - self.started
        first = self.ends == 1 and ran <= HEALTHY_SECONDS
        return first and self.process is not None and self.process.returncode == MISUSED

    def pause(self) -> float:
        """Seconds to wait before the next start, longer after each quick end."""
        if time.monotonic() - self.started > HEALTHY_SECONDS:
            self.ends = 0
        self.ends += 1
        return min(FIRST_PAUSE_SECONDS * 2.0 ** (self.ends - 1), LONGEST_PAUSE_SECONDS)

    def kill(self) -> None:
        """Ends it at once with everything it started: a dead master leaves workers."""
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Supervisor:
    """Keeps programs running in an environment that is asked for again and again.

    `environment` makes sure that the services run and says where. Programs are started
    anew when that changes. One that refuses its arguments ends it all with a Problem.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        environment: Callable[[], Mapping[str, str]],
    ) -> None:
        self.programs = list(programs)
        self.environment = environment
        self.known: Mapping[str, str] = {}
        self.due: dict[str, float] = {}

    def start(self) -> None:
        self.known = self.environment()
        for program in self.programs:
            program.start(self.known)

    def tick(self) -> None:
        """One look at everything; to be called a few times a second."""
        now = self.environment()
        if now != self.known:
            say("The services have moved: starting the programs again")
            self.stop()
            self.start()
        for program in self.programs:
            self._revive(program)

    def run(self, until: Callable[[], bool]) -> None:
        """Looks after the programs until the condition holds."""
        while not until():
            self.tick()
            time.sleep(TICK_SECONDS)

    def stop(self) -> None:
        """Ends all of them, politely at first."""
        for program in self.programs:
            if program.process:
                program.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for program in self.programs:
            if program.process:
                with suppress(subprocess.TimeoutExpired):
                    program.process.wait(max(0.0, deadline - time.monotonic()))
                program.kill()
                program.process = None
        self.due.clear()

    def _revive(self, program: Program) -> None:
        if not program.ended():
            return
        if program.name not in self.due:
            pause = program.pause()
            program.kill()
            if program.is_misused():
                where = f"see {program.log}" if program.log else "its words are above"
                raise Problem(f"The {program.name} cannot start like this: {where}.")
            self.due[program.name] = time.monotonic() + pause
            say(f"The {program.name} ended: starting it again in {pause:g} s")
        elif time.monotonic() >= self.due[program.name]:
            del self.due[program.name]
            program.start(self.known)


def _end_with_parent() -> None:
    """A supervisor that is killed takes its programs along (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
