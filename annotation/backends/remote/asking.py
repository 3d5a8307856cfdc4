"""Photos go to the first provider that answers: inside one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation.backends.base import Call
from annotation.backends.remote.configuration import Configuration
from annotation.backends.remote.faults import Fault
from annotation.backends.remote.rendition import NotAnImageError, data_url
from annotation.backends.remote.server import Heard, Server
from annotation.backends.remote.transport import Pace, Transport


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
        self._transport = Transport(pace, configuration.concurrency)
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
        """Ask about every photo; one outcome each, in their order."""
        return await asyncio.gather(*(self._ask(photo) for photo in photos))

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.close()

    async def _ask(self, photo: bytes) -> Asked:
        async with self._bound:
            try:
                photo_url = await asyncio.to_thread(data_url, photo)
            except NotAnImageError:
                return Asked()
            return await self._first_answer(photo_url)

    async def _first_answer(self, photo_url: str) -> Asked:
        faults: dict[str, Fault] = {}
        calls: list[Call] = []
        for server in self._servers:
            try:
                heard = await server.ask(photo_url, calls)
            except Fault as fault:
                faults[server.provider.name] = fault
            else:
                return Asked(heard, faults, tuple(calls))
        return Asked(None, faults, tuple(calls))
