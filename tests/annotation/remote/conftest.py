"""Servers on real sockets, and annotators that know them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any

import httpx2
import pytest
from PIL import Image

from annotation.backends.remote.annotator import RemoteAnnotator
from annotation.backends.remote.transport import Pace
from tests.annotation.remote.modelserver import ModelServer

TRUST_STORE = httpx2.create_ssl_context()
KEY = "sk-the-key-of-this-test"
# Pauses take no time, and time-outs more than a busy machine ever does.
PACE = Pace(
    connect=20.0,
    silence=20.0,
    whole=20.0,
    first_poll=0.001,
    longest_poll=0.002,
    polls_apart=0.0,
    first_pause=0.001,
    longest_pause=0.002,
    longest_wait=0.9,
)
# For servers that are silent: nobody has to answer in time, or somebody after all.
HASTY = replace(PACE, silence=0.3)
SLOW = replace(PACE, silence=1.0)


class Clock:
    """Time that passes when a test says so, or when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def paces(self, **changed: Any) -> Pace:
        """The usual pace by this clock."""
        return replace(PACE, clock=self, sleep=self.sleep, **changed)


MakeAnnotator = Callable[..., RemoteAnnotator]


def jpeg(seed: int = 0, side: int = 64) -> bytes:
    """A small photo without metadata, as they are stored."""
    target = BytesIO()
    colour = (seed * 37 % 256, seed * 91 % 256, 128)
    Image.new("RGB", (side, side), colour).save(target, "JPEG")
    return target.getvalue()


@pytest.fixture(autouse=True)
def _one_trust_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the machine's certificates takes longer than most of these tests."""
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: TRUST_STORE)


@pytest.fixture
def photo() -> bytes:
    return jpeg()


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer()
    yield server
    server.stop()


@pytest.fixture
def spare() -> Iterator[ModelServer]:
    """A second server of the same model."""
    server = ModelServer()
    yield server
    server.stop()


@pytest.fixture
def providers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Name servers in the environment: gpu1, gpu2, … in the order given."""

    def configure(*servers: ModelServer, **settings: str) -> None:
        names = [f"gpu{number}" for number in range(1, len(servers) + 1)]
        told = {"MODEL": "Qwen/Tiny-VL", "PROVIDERS": ",".join(names)}
        for name, server in zip(names, servers, strict=True):
            told |= {
                f"{name.upper()}_URL": server.url,
                f"{name.upper()}_MODEL": "tiny-vl",
                f"{name.upper()}_DIALECT": "vllm",
                f"{name.upper()}_KEY": KEY,
                f"{name.upper()}_USD_IN": "1",
                f"{name.upper()}_USD_OUT": "10",
            }
        for name, value in (told | settings).items():
            monkeypatch.setenv(f"TWINBY_REMOTE_{name}", value)

    return configure


@pytest.fixture
def annotator_of(providers: Callable[..., None]) -> Iterator[MakeAnnotator]:
    """An annotator of these servers, with these settings, at this pace."""
    made: list[RemoteAnnotator] = []

    def make(
        *servers: ModelServer, pace: Pace = PACE, **settings: str
    ) -> RemoteAnnotator:
        providers(*servers, **settings)
        made.append(RemoteAnnotator(pace))
        return made[-1]

    yield make
    for annotator in made:
        annotator.close()


@pytest.fixture
def annotator(server: ModelServer, annotator_of: MakeAnnotator) -> RemoteAnnotator:
    """Of one server that speaks vLLM."""
    return annotator_of(server)
