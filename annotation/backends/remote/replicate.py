"""Replicate's own API: a prediction is made, asked for until it ends, or cancelled.

Models differ in what their inputs are called; these are the names that most have which
look at an image. There are no logprobs, and nothing holds a model to a form.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from annotation.backends.remote.configuration import Provider
from annotation.backends.remote.dialects import Reply, count
from annotation.backends.remote.faults import Fault
from annotation.backends.remote.transport import Pace, Transport
from annotation.compact import JSON
from annotation.prompt import REQUEST

PREDICTION: Final = re.compile("[a-z0-9]{8,64}")
UNDER_WAY: Final = {"starting", "processing", "queued"}
Prediction = Mapping[str, Any]


class Predictions:
    """One provider's predictions; those under way share what may be asked a minute."""

    def __init__(self, transport: Transport, provider: Provider, pace: Pace) -> None:
        self._transport, self._provider, self._pace = transport, provider, pace
        self._under_way = 0

    async def reply(self, photo_url: str) -> Reply:
        """One photo's prediction; Fault if it fails. Cancelled with its task."""
        path, body = _creation(self._provider.model, photo_url)
        posted = await self._transport.post(self._provider, path, body)
        prediction = _checked(posted.payload())
        status_path = f"predictions/{prediction['id']}"
        self._under_way += 1
        try:
            ended = await self._ended(prediction, status_path)
        except BaseException:
            await self._cancel(status_path)
            raise
        finally:
            self._under_way -= 1
        return _reply(ended)

    async def _ended(self, prediction: Prediction, path: str) -> Prediction:
        """The prediction when it is over: it is paid for, so it is not given up."""
        pause = self._pace.first_poll
        while prediction.get("status") in UNDER_WAY:
            share = self._under_way * self._pace.polls_apart
            await self._pace.sleep(max(pause, share))
            pause = min(2 * pause, self._pace.longest_poll)
            prediction = await self._seen(path) or prediction
        return prediction

    async def _seen(self, path: str) -> Prediction | None:
        """How a prediction is; None if that is not to be learned just now."""
        try:
            received = await self._transport.get(self._provider, path)
            return _checked(received.payload())
        except Fault as fault:
            if not fault.trouble.again:
                raise Fault("not-fetched") from None
            await self._pace.sleep(min(fault.wait or 0, self._pace.longest_wait))
            return None

    async def _cancel(self, path: str) -> None:
        """Stop paying for what nobody waits for any more."""
        with suppress(Fault, TimeoutError):
            async with asyncio.timeout(self._pace.connect):
                await self._transport.post(self._provider, f"{path}/cancel")


def _creation(model: str, photo_url: str) -> tuple[str, Mapping[str, Any]]:
    """Path and body, for "owner/name" or for one version, "owner/name:version"."""
    told = {
        "image": photo_url,
        "prompt": f"{JSON.system}\n\n{REQUEST}",
        "max_tokens": JSON.max_tokens,
        "temperature": 0,
    }
    name, _, version = model.partition(":")
    if version:
        return "predictions", {"version": version, "input": told}
    return f"models/{name}/predictions", {"input": told}


def _checked(payload: Any) -> Prediction:
    """With an id for a URL of our own: the addresses that come with it are not used."""
    prediction: Prediction = payload if isinstance(payload, dict) else {}
    found = prediction.get("id")
    if not isinstance(found, str) or not PREDICTION.fullmatch(found):
        raise Fault("not-json")
    return prediction


def _reply(prediction: Prediction) -> Reply:
    if prediction.get("status") != "succeeded":
        raise Fault("failed")
    metrics = prediction.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    output = prediction.get("output")
    text = "".join(map(str, output)) if isinstance(output, list) else output
    return Reply(
        text=text if isinstance(text, str) else "",
        tokens_in=count(metrics.get("input_token_count")),
        tokens_out=count(metrics.get("output_token_count")),
    )
