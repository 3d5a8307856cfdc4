"""One exchange over HTTP: bounded in time and in size, silent about what it carries.

Redirects are not followed, so that a key goes to its own server only. The client's own
exceptions hold the request, with key and photo: none of them leaves this module.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import orjson

from annotation.backends.remote.configuration import TRIES, Provider
from annotation.backends.remote.faults import Fault, reason_of

MOST_BYTES: Final = 4 * 2**20  # 1,024 tokens with 20 others each are about 2 MB
COMPLAINT_BYTES: Final = 2_000


@dataclass(frozen=True)
class Pace:
    """How long anything may take, and how long to wait between tries; in seconds."""

    connect: float = 5.0
    silence: float = 60.0  # between two pieces of an answer
    whole: float = 90.0  # for one try, polling included
    poll: float = 0.5
    first_pause: float = 0.5  # doubles with every try
    longest_pause: float = 8.0
    longest_wait: float = 30.0  # a server that wants more is not asked again for now
    tries: int = TRIES
    patience: int = (
        6  # tries that found a server busy, which cost nothing, beside those
    )
    failures: int = 5  # in a row, and a provider is left alone
    left_alone: float = 30.0
    until_probe: float = 900.0  # and then what a provider could not do is tried again
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class Received:
    """A whole answer, of whatever status."""

    status: int
    is_json: bool
    body: bytes
    retry_after: float | None

    @property
    def complaint(self) -> str:
        """The beginning of the body, to look for names of parameters in."""
        return self.body[:COMPLAINT_BYTES].decode(errors="replace")

    def payload(self) -> Any:
        """The JSON of a success; Fault for any other answer."""
        if not 200 <= self.status < 300:
            raise Fault(reason_of(self.status), self.retry_after)
        payload = _parsed(self.body) if self.is_json else None
        if payload is None:
            raise Fault("not-json")
        return payload


class Transport:
    """One HTTP client for all providers; lives in one event loop."""

    def __init__(self, pace: Pace, connections: int) -> None:
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(pace.silence, connect=pace.connect),
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections
            ),
            follow_redirects=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "twinby"},
        )

    async def post(self, provider: Provider, path: str, body: Any = None) -> Received:
        """Send JSON to a path below the provider's URL; Fault without an answer."""
        return await self._exchange("POST", provider, path, orjson.dumps(body))

    async def get(self, provider: Provider, path: str) -> Received:
        """Fetch a path below the provider's URL; Fault without an answer."""
        return await self._exchange("GET", provider, path)

    async def close(self) -> None:
        """Let go of all connections."""
        await self._http.aclose()

    async def _exchange(
        self, method: str, provider: Provider, path: str, content: bytes = b""
    ) -> Received:
        try:
            return await self._received(method, provider, path, content)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            reason = "no-connection"
        except httpx2.TimeoutException:
            reason = "timed-out"
        except httpx2.HTTPError:
            reason = "cut-off"
        # Outside, so that the client's exception does not become its context.
        raise Fault(reason)

    async def _received(
        self, method: str, provider: Provider, path: str, content: bytes
    ) -> Received:
        headers = {"Content-Type": "application/json"}
        if provider.key:
            headers["Authorization"] = f"Bearer {provider.key}"
        async with self._http.stream(
            method, f"{provider.url}/{path}", headers=headers, content=content
        ) as response:
            return Received(
                status=response.status_code,
                is_json="json" in response.headers.get("Content-Type", ""),
                body=await _bounded(response),
                retry_after=_seconds(response.headers.get("Retry-After", "")),
            )


async def _bounded(response: httpx2.Response) -> bytes:
    """The body as sent, which is not unpacked; Fault if it is too long."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MOST_BYTES:
            raise Fault("too-long")
    return bytes(body)


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _seconds(retry_after: str) -> float | None:
    """The header's seconds, or those until its date; None without either."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        at = parsedate_to_datetime(retry_after).replace(tzinfo=dt.UTC)
    except (ValueError, TypeError):
        return None
    return max(0.0, (at - dt.datetime.now(dt.UTC)).total_seconds())
