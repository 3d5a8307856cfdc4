"""Photos go to the first provider that answers: inside one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from annotation.backends.base import Call
from annotation.backends.remote.configuration import Configuration
from annotation.backends.remote.faults import Fault
from annotation.backends.remote.rendition import NotAnImageError, data_url
from annotation.backends.remote.server import Heard, Inquiry, Server
from annotation.backends.remote.transport import Pace, Transport

logger = logging.getLogger(__name__)
OURSELVES = ""  # what is no provider's doing


@dataclass(frozen=True)
class Asked:
    """What came of asking about one photo: answers, or the last fault by provider.

    Without either it was no photo, and nobody was asked.
    """

    heard: Heard | None = None
    faults: Mapping[str, Fault] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()


class Providers:
    """All providers, and the one bound on what is in flight, whoever is waiting."""

    def __init__(self, configuration: Configuration, pace: Pace) -> None:
        self._pace = pace
        self._transport = Transport(
            pace, configuration.concurrency, configuration.proxy
        )
        self._bound = asyncio.Semaphore(configuration.concurrency)
        self._servers = [
            Server(provider, self._transport, pace)
            for provider in configuration.providers
        ]

    @property
    def all_left_alone(self) -> bool:
        """Whether every provider has failed too often just now."""
        return all(server.is_left_alone for server in self._servers)

    async def ask(self, photos: Sequence[bytes]) -> list[Asked]:
        """Ask about every photo; one outcome each, in their order, in good time."""
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._ask(photo)) for photo in photos]
        return [task.result() for task in asking]

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close()

    async def _ask(self, photo: bytes) -> Asked:
        """One photo's outcome, whatever happens to it: the others go on."""
        faults: dict[str, Fault] = {}
        calls: list[Call] = []
        heard = None
        try:
            async with self._place(), asyncio.timeout(self._pace.total):
                photo_url = await asyncio.to_thread(data_url, photo)
                heard = await self._first_answer(Inquiry(photo_url, calls), faults)
        except NotAnImageError:
            return Asked()
        except TimeoutError:
            faults[OURSELVES] = Fault("out-of-time")
        except Exception as error:  # noqa: BLE001 - is ours, and may be anything
            logger.warning("A photo could not be asked about: %s", type(error).__name__)
            faults[OURSELVES] = Fault("annotator-broke")
            calls.append(Call(0.0, OURSELVES, "annotator-broke"))
        return Asked(heard, faults, tuple(calls))

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for one of the places, each of which has its whole time to itself."""
        async with asyncio.timeout(self._pace.queue):
            await self._bound.acquire()
        try:
            yield
        finally:
            self._bound.release()

    async def _first_answer(
        self, inquiry: Inquiry, faults: dict[str, Fault]
    ) -> Heard | None:
        for server in self._servers:
            try:
                return await server.ask(inquiry)
            except Fault as fault:
                faults[server.provider.name] = fault
        return None
