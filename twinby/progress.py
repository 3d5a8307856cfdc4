"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

BAR_WIDTH = 24
REDRAW_SECONDS = 0.1
LINE_SECONDS = 10.0


class Progress:
    """How far some work is, how fast, and how long it will take yet.

    Without a `total`, which may become known on the way, only the first two.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        *,
        start: int = 0,
        out: TextIO | None = None,
    ) -> None:
        self.label = label
        self.total = total
        self.done = start
        self._start = start
        self._out = out or sys.stderr
        self._is_terminal = self._out.isatty()
        self._started = time.monotonic()
        self._drawn = self._started if not self._is_terminal else 0.0

    def step(self, count: int = 1) -> None:
        """So much more is done."""
        self.reach(self.done + count)

    def reach(self, done: int) -> None:
        """So much of it is done by now; the whole is left to `finish`."""
        self.done = done
        pause = REDRAW_SECONDS if self._is_terminal else LINE_SECONDS
        is_whole = self.total is not None and done >= self.total
        if not is_whole and time.monotonic() - self._drawn >= pause:
            self._draw()

    def finish(self) -> None:
        """The last state, and the end of the line."""
        self._draw()
        if self._is_terminal:
            self._write("\n")

    def text(self) -> str:
        """For instance "Reading ████░░░░ 102/204, 51.0/s, 2 s left"."""
        seconds = max(time.monotonic() - self._started, 1e-6)
        rate = (self.done - self._start) / seconds
        if self.total is None:
            return f"{self.label} {self.done:,}, {rate:,.1f}/s"
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 else ""
        if self.done >= self.total:
            left = f", {seconds:.1f} s"
        bar = ""
        if self._is_terminal:
            filled = min(BAR_WIDTH, BAR_WIDTH * self.done // max(self.total, 1))
            bar = "█" * filled + "░" * (BAR_WIDTH - filled) + " "
        return f"{self.label} {bar}{self.done:,}/{self.total:,}, {rate:,.1f}/s{left}"

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        text = self.text()
        self._write(f"\r\033[K{text}" if self._is_terminal else f"{text}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
