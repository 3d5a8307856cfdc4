"""What is rendered quickly is what REST framework would have written."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections import namedtuple
from decimal import Decimal
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from django.utils.translation import gettext_lazy
from rest_framework.exceptions import ErrorDetail
from rest_framework.renderers import JSONRenderer

from twinby.rest.renderers import JsonRenderer


class Colour(StrEnum):
    RED = "red"


Pair = namedtuple("Pair", "first second")
MOMENT = dt.datetime(2026, 11, 21, 12, 30, 5, 1200, tzinfo=dt.UTC)
EAST = dt.timezone(dt.timedelta(hours=3))


@pytest.mark.parametrize(
    "value",
    [
        {"score": -0.1, "small": 1e-17, "photos": (), "on": True, "none": None},
        [uuid.UUID(int=7), Colour.RED, gettext_lazy("Photos"), ErrorDetail("no", "x")],
        [MOMENT, MOMENT.astimezone(EAST), MOMENT.replace(tzinfo=None), MOMENT.date()],
        [dt.timedelta(hours=1.5), Decimal("1.50"), 2**70, b"bytes", {2: "two"}],
        [Pair(1, 2), np.float64(0.3), np.arange(3)],
        {"понравилось": 'a "quoted" \\ 사진 \u2028 \x00'},
    ],
)
def test_an_answer_is_what_rest_framework_would_write(value: Any) -> None:
    written = json.loads(JSONRenderer().render(value))
    assert json.loads(JsonRenderer().render(value)) == written


def test_a_search_page_does_not_take_the_slow_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(JSONRenderer, "render", None)
    page = {"id": uuid.UUID(int=7), "sources": [Colour.RED], "amount": 0.25}
    text = b'{"id":"00000000-0000-0000-0000-000000000007","sources":["red"],'
    assert JsonRenderer().render(page) == text + b'"amount":0.25}'


def test_nothing_is_rendered_where_there_is_nothing() -> None:
    assert JsonRenderer().render(None) == b""


def test_whoever_asks_for_an_indent_gets_it() -> None:
    asked = "application/json; indent=2"
    assert JsonRenderer().render({"a": 1}, asked) == b'{\n  "a": 1\n}'
