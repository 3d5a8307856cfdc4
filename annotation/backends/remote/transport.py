"""One exchange over HTTP: bounded in time and in size, silent about what it carries.

Redirects are not followed, so that a key goes to its own server only. The client's own
exceptions hold the request, with key and photo: none of them leaves this module.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx2
import orjson

from annotation.backends.remote.configuration import TRIES, Provider
from annotation.backends.remote.faults import Fault, reason_of

MOST_BYTES: Final = 4 * 2**20  # 1,024 tokens with 20 others each are about 2 MB
COMPLAINT_BYTES: Final = 2_000
SECONDS: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
NO_CONNECTION: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
)


@dataclass(frozen=True)
class Pace:
    """How long anything may take, what is waited for, and how often; in seconds."""

    connect: float = 5.0
    silence: float = 60.0  # between two pieces of an answer
    whole: float = 90.0  # for one try, polling included
    queue: float = 100.0  # until a photo is asked about
    total: float = 200.0  # and from then on: all tries, and the waits between them
    first_poll: float = 0.5  # before a prediction is looked at; doubles every time
    longest_poll: float = 5.0
    polls_apart: float = 0.12  # of all predictions under way: 500 looks a minute
    first_pause: float = 0.5  # doubles with every try
    longest_pause: float = 8.0
    longest_wait: float = 30.0  # where a server wants more, photos do not wait for it
    longest_absence: float = 3_600.0  # and then it is asked again, whatever it wants
    tries: int = TRIES  # with one provider that may cost something
    patience: int = 6  # tries beside those that found it busy, which cost nothing
    failures: int = 5  # in a row, and a provider is left alone
    left_alone: float = 30.0
    rejections: int = 8  # photos in a row, and it is the provider, not the photos
    certain: int = 8  # answers in a row without probabilities, and it has none to give
    until_probe: float = 900.0  # and then what a provider could not do is tried again
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


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

    def __init__(self, pace: Pace, connections: int, proxy: str = "") -> None:
        trusted = httpx2.create_ssl_context()
        limits = httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections
        )
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(pace.silence, connect=pace.connect),
            limits=limits,
            verify=trusted,
            mounts=_through(proxy, limits, trusted) if proxy else None,
            # Keys and photos go where our settings say, whatever HTTP_PROXY does.
            trust_env=False,
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
        except NO_CONNECTION:
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


def _through(
    proxy: str, limits: httpx2.Limits, trusted: ssl.SSLContext
) -> dict[str, httpx2.AsyncHTTPTransport]:
    """What is encrypted goes through the proxy, which cannot read it; no more does."""
    tunnel = httpx2.AsyncHTTPTransport(
        proxy=proxy, limits=limits, verify=trusted, trust_env=False
    )
    return {"https://": tunnel}


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
    """The header's seconds, or those until its date; None without either (RFC 9110)."""
    if SECONDS.fullmatch(retry_after):
        return float(retry_after)
    try:
        at = parsedate_to_datetime(retry_after)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    now = dt.datetime.now(dt.UTC)
    # The parser leaves a time without a zone to us: such a date is in UTC.
    known = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
    return max(0.0, (known - now).total_seconds())
