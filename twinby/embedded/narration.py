"""What is told to the person at the terminal: on stderr, one line at a time."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType

BAR_WIDTH = 24
CLEAR = "\r\033[K"
LOOK_SECONDS = 0.1
SHOWN_AFTER_SECONDS = 2.0


class Problem(Exception):  # noqa: N818 - it is told to a person, and reads as one
    """What went wrong and what to do, in one sentence to the person at the terminal."""


class Interrupted(Exception):  # noqa: N818 - a wish, not an error
    """Somebody wants this command to end."""


def say(text: str) -> None:
    """One line of narration; stdout stays free for results."""
    _write(f"twinby: {text}\n")


class Bar:
    """A progress bar on a terminal, from the third second on; nothing elsewhere.

    Without a total, something moves: so much is left is not known, but it goes on.
    """

    def __init__(self, label: str, total: int = 0) -> None:
        self.label = label
        self.total = total
        self.start = time.monotonic()
        self.shown = False

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.shown:
            _write(CLEAR)

    def draw(self, done: int = 0) -> None:
        """Redraws; to be called a few times a second, so that the clock moves."""
        seconds = time.monotonic() - self.start
        if seconds < SHOWN_AFTER_SECONDS or not sys.stderr.isatty():
            return
        self.shown = True
        _write(f"{CLEAR}{self.label} {self._bar(done, seconds)} {seconds:.0f} s")

    def _bar(self, done: int, seconds: float) -> str:
        if not self.total:
            place = int(seconds / LOOK_SECONDS) % BAR_WIDTH
            return "░" * place + "█" + "░" * (BAR_WIDTH - 1 - place)
        filled = BAR_WIDTH * min(done, self.total) // self.total
        return "█" * filled + "░" * (BAR_WIDTH - filled) + f" {done}/{self.total}"


def wait_with_bar(
    child: subprocess.Popen[bytes],
    label: str,
    *,
    total: int = 0,
    done: Callable[[], int] = int,
) -> int:
    """Waits for a process, which does not outlive an interruption; its exit status."""
    try:
        with Bar(label, total) as bar:
            while child.poll() is None:
                bar.draw(done())
                time.sleep(LOOK_SECONDS)
    finally:
        child.kill()
        status = child.wait()
    return status


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
