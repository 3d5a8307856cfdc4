"""What is told to the person at the terminal: on stderr, one line at a time."""

from __future__ import annotations

import sys
import time
from types import TracebackType

BAR_WIDTH = 24
SHOWN_AFTER_SECONDS = 2.0


class Problem(Exception):  # noqa: N818 - it is told to a person, and reads as one
    """What went wrong and what to do, in one sentence to the person at the terminal."""


class Interrupted(Exception):  # noqa: N818 - a wish, not an error
    """Somebody wants this command to end."""


def say(text: str) -> None:
    """One line of narration; stdout stays free for results."""
    _write(f"twinby: {text}\n")


class Bar:
    """A progress bar on a terminal, from the third second on; nothing elsewhere."""

    def __init__(self, label: str, total: int) -> None:
        self.label = label
        self.total = max(total, 1)
        self.done = 0
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
            _write("\r\033[K")

    def draw(self) -> None:
        """Redraws; to be called a few times a second, so that the clock moves."""
        seconds = time.monotonic() - self.start
        if seconds < SHOWN_AFTER_SECONDS or not sys.stderr.isatty():
            return
        filled = BAR_WIDTH * min(self.done, self.total) // self.total
        bar = "█" * filled + "░" * (BAR_WIDTH - filled)
        _write(f"\r\033[K{self.label} {bar} {self.done}/{self.total} {seconds:.0f} s")
        self.shown = True


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
