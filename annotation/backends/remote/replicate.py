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


async def predict(
    transport: Transport, provider: Provider, photo_url: str, pace: Pace
) -> Reply:
    """One photo's prediction; Fault if it fails. Cancelled with its task."""
    path, body = _creation(provider.model, photo_url)
    prediction = (await transport.post(provider, path, body)).payload()
    status_path = f"predictions/{_id(prediction)}"
    try:
        while prediction.get("status") in UNDER_WAY:
            await asyncio.sleep(pace.poll)
            prediction = (await transport.get(provider, status_path)).payload()
            _id(prediction)
    except BaseException:
        await _cancel(transport, provider, status_path, pace)
        raise
    return _reply(prediction)


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


def _id(prediction: Any) -> str:
    """Its id, for a URL of our own: the addresses that come with it are not used."""
    found = prediction.get("id") if isinstance(prediction, dict) else None
    if not isinstance(found, str) or not PREDICTION.fullmatch(found):
        raise Fault("not-json")
    return found


async def _cancel(
    transport: Transport, provider: Provider, status_path: str, pace: Pace
) -> None:
    """Stop paying for what nobody waits for any more."""
    with suppress(Fault, TimeoutError):
        async with asyncio.timeout(pace.connect):
            await transport.post(provider, f"{status_path}/cancel")


def _reply(prediction: Mapping[str, Any]) -> Reply:
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
