"""The annotator that asks servers about many photos at a time.

Its readings have no features: servers give none. So searches by such readings go by
their attributes alone.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    Reading,
    TransientError,
)
from annotation.backends.remote.asking import Providers
from annotation.backends.remote.configuration import Configuration, configured, version
from annotation.backends.remote.outcomes import (
    outcomes,
    shared,
    stop_if_unavailable,
)
from annotation.backends.remote.transport import Pace

# Between slices of waiting, a worker can be told that its time is up.
SLICE_SECONDS: Final = 1.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Running:
    """The event loop in a thread of its own, and what lives in it."""

    loop: asyncio.AbstractEventLoop
    thread: threading.Thread
    providers: Providers

    def result_of(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run something in the loop, and wait for it where it can be interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            while not future.done():
                wait([future], SLICE_SECONDS)
        except BaseException:
            future.cancel()
            raise
        return future.result()


class RemoteAnnotator:
    """Connected on first use, safe to share between threads, which share its bound."""

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._starting = threading.Lock()
        self._running: _Running | None = None

    @property
    def version(self) -> AnnotatorVersion:
        return version()

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Read encoded images; one outcome each, in their order.

        Raises BackendUnavailableError if every provider is down or set up wrongly.
        """
        started = time.perf_counter()
        running = self._started()
        try:
            asked = running.result_of(running.providers.ask(photos))
        except CancelledError:
            raise TransientError("stopped", counted=False) from None
        asked = shared(asked, time.perf_counter() - started)
        stop_if_unavailable(asked, all_left_alone=running.providers.all_left_alone)
        return outcomes(asked)

    def close(self) -> None:
        """Stop asking and let go of all connections; the next read starts anew."""
        with self._starting:
            running, self._running = self._running, None
        if running:
            running.result_of(_finished(running.providers))
            running.loop.call_soon_threadsafe(running.loop.stop)
            running.thread.join()
            running.loop.close()

    def _started(self) -> _Running:
        with self._starting:
            if self._running is None:
                self._running = _start(configured(), self._pace)
            return self._running


def _start(configuration: Configuration, pace: Pace) -> _Running:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="remote", daemon=True)
    thread.start()
    opened = asyncio.run_coroutine_threadsafe(_opened(configuration, pace), loop)
    return _Running(loop, thread, opened.result())


async def _opened(configuration: Configuration, pace: Pace) -> Providers:
    return Providers(configuration, pace)


async def _finished(providers: Providers) -> None:
    """Cancel what is under way, and close."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await providers.close()
