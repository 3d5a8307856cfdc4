"""What the servers of chat completions share, and in what they differ. No HTTP here."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from annotation.compact import JSON, LINES, REGEX, Form, json_schema
from annotation.prompt import REQUEST

LISTED_LOGPROBS: Final = 20  # the most that vLLM and OpenAI list by default
MAX_TOKENS_COUNTED: Final = 10_000_000
MAX_USD: Final = 1_000.0


class Dialect(StrEnum):
    """How a server is spoken to."""

    VLLM = "vllm"
    SGLANG = "sglang"
    OPENAI = "openai"
    OPENROUTER = "openrouter"
    REPLICATE = "replicate"


class Feature(StrEnum):
    """What a request asks for that not every server can do; each can be given up."""

    LOGPROBS = "logprobs"
    NO_THINKING = "no-thinking"
    VLLM_REGEX = "vllm-regex"
    SGLANG_REGEX = "sglang-regex"
    JSON_SCHEMA = "json-schema"
    TEMPERATURE = "temperature"
    MAX_TOKENS = "max-tokens"  # newer models want it called max_completion_tokens


# What is given up only where a server says that it minds this very field.
BASIC: Final = (Feature.TEMPERATURE, Feature.MAX_TOKENS)
# In the order in which they are given up, where a server does not say which it minds.
FEATURES: Final[Mapping[Dialect, tuple[Feature, ...]]] = {
    Dialect.VLLM: (
        Feature.LOGPROBS,
        Feature.NO_THINKING,
        Feature.VLLM_REGEX,
        Feature.JSON_SCHEMA,
        *BASIC,
    ),
    Dialect.SGLANG: (
        Feature.LOGPROBS,
        Feature.NO_THINKING,
        Feature.SGLANG_REGEX,
        Feature.JSON_SCHEMA,
        *BASIC,
    ),
    Dialect.OPENAI: (Feature.LOGPROBS, Feature.JSON_SCHEMA, *BASIC),
    Dialect.OPENROUTER: (Feature.LOGPROBS, Feature.JSON_SCHEMA, *BASIC),
    Dialect.REPLICATE: (),
}
REGEXES: Final = {Feature.VLLM_REGEX, Feature.SGLANG_REGEX}
FIELDS: Final[Mapping[Feature, Mapping[str, Any]]] = {
    Feature.LOGPROBS: {"logprobs": True, "top_logprobs": LISTED_LOGPROBS},
    # A model that reasons aloud gives no logprobs of its answer, and costs many tokens.
    Feature.NO_THINKING: {"chat_template_kwargs": {"enable_thinking": False}},
    Feature.VLLM_REGEX: {"structured_outputs": {"regex": REGEX}},
    Feature.SGLANG_REGEX: {"regex": REGEX},
    Feature.JSON_SCHEMA: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "photo", "strict": True, "schema": json_schema()},
        }
    },
    Feature.TEMPERATURE: {"temperature": 0},
    Feature.MAX_TOKENS: {"max_tokens": JSON.max_tokens},
}
# Else OpenRouter passes a request on to somebody who ignores what it asks for.
ROUTING: Final = {"provider": {"require_parameters": True}}


@dataclass(frozen=True)
class Reply:
    """What a server answered: still untrusted, but of known types.

    `problem` is a stable word where there is no answer to read; `logprobs` are as they
    came; tokens are None if they are not told, and `cost_usd` likewise.
    """

    text: str = ""
    problem: str = ""
    logprobs: Any = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None


def form_of(features: Collection[Feature]) -> Form:
    """The form that a model held to these features fills in."""
    return LINES if REGEXES & set(features) else JSON


def chat_request(
    dialect: Dialect, model: str, features: Collection[Feature], photo_url: str
) -> dict[str, Any]:
    """The body of a chat completion about one photo, which is a data URL."""
    form = form_of(features)
    asked = [f for f in features if form is JSON or f is not Feature.JSON_SCHEMA]
    fields = {name: value for f in asked for name, value in FIELDS[f].items()}
    bound = "max_tokens" if "max_tokens" in fields else "max_completion_tokens"
    photo = {"type": "image_url", "image_url": {"url": photo_url}}
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": form.system},
            {"role": "user", "content": [photo, {"type": "text", "text": REQUEST}]},
        ],
        **fields,
        bound: form.max_tokens,
        **(ROUTING if dialect is Dialect.OPENROUTER else {}),
    }


def minded(complaint: str, features: Collection[Feature]) -> Feature | None:
    """The feature that a server's complaint about a request names.

    The first one if it only speaks of parameters, None if it is about something else.
    """
    for feature in features:
        if any(field in complaint for field in FIELDS[feature]):
            return feature
    if "parameter" not in complaint.lower():
        return None
    return next((f for f in features if f not in BASIC), None)


def chat_reply(payload: Any) -> Reply:
    """The one choice of a chat completion, and what it took."""
    usage = _mapping(payload, "usage")
    text, problem = _text(payload)
    return Reply(
        text=text,
        problem=problem,
        logprobs=_choice(payload).get("logprobs"),
        tokens_in=count(usage.get("prompt_tokens")),
        tokens_out=count(usage.get("completion_tokens")),
        cost_usd=_usd(usage.get("cost")),
    )


def _text(payload: Any) -> tuple[str, str]:
    """What was written, or why it is not to be read."""
    choice = _choice(payload)
    message = _mapping(choice, "message")
    text, finish = message.get("content"), choice.get("finish_reason")
    if not choice or finish == "error":  # a failure that was found too late for a 5xx
        return "", "server-error"
    if message.get("refusal") or finish == "content_filter":
        return "", "refused"
    if finish == "length":
        return "", "truncated"
    return (text, "") if isinstance(text, str) else ("", "off-schema")


def _choice(payload: Any) -> Mapping[str, Any]:
    choices = payload.get("choices") if isinstance(payload, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def count(value: Any) -> int | None:
    """A number of tokens, if it is one that can be believed."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_TOKENS_COUNTED else None


def _usd(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value <= MAX_USD else None
