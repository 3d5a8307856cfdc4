"""A circuit breaker (Nygard, Release It!, 2007): leave alone what keeps failing.

Own, because the libraries for asyncio have had no release for two years and more.
"""

from __future__ import annotations

from collections.abc import Callable


class Breaker:
    """Opens after `failures` in a row; after `seconds` one probe decides."""

    def __init__(
        self, failures: int, seconds: float, clock: Callable[[], float]
    ) -> None:
        self._limit, self._seconds, self._clock = failures, seconds, clock
        self._failed = 0
        self._shut_until = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it keeps requests away, but for probes."""
        return self._failed >= self._limit

    def admits(self) -> bool:
        """Whether a request may be made; the first one after a pause is the probe."""
        if not self.is_open:
            return True
        if self._clock() < self._shut_until:
            return False
        self._pause()  # for all but the probe, which is on its way
        return True

    def note(self, *, failed: bool) -> None:
        """Count how a request ended."""
        self._failed = self._failed + 1 if failed else 0
        if self.is_open:
            self._pause()

    def _pause(self) -> None:
        self._shut_until = self._clock() + self._seconds
