"""Answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from rest_framework.renderers import JSONRenderer

# Keys as the standard library writes them; dates as REST framework does.
OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATETIME


class JsonRenderer(JSONRenderer):
    """The same JSON, ten times as fast: a page of people has 90 kB of it.

    Only what is not a number, which no answer has, is null instead of an error.
    """

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        indent = self.get_indent(accepted_media_type or "", renderer_context or {})
        if data is not None and not indent:
            try:
                default = self.encoder_class().default
                return orjson.dumps(data, default=default, option=OPTIONS)
            except orjson.JSONEncodeError:  # such as an integer of more than 64 bits
                pass
        return bytes(super().render(data, accepted_media_type, renderer_context))
