"""What every door shares: callers, strict input, bodies of a sane size."""

from __future__ import annotations

import math
import uuid
from typing import Any

import pytest
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from twinby.errors import ForbiddenError, InvalidError
from twinby.rest.callers import Caller, own_or_given
from twinby.rest.strict import FiniteField, StrictSerializer, validated

SERVICE = Caller(client_id=uuid.uuid4())
PERSON = Caller(client_id=uuid.uuid4(), person_id=uuid.uuid4())


def test_a_caller_is_counted_by_who_they_are() -> None:
    assert SERVICE.subject == f"client:{SERVICE.client_id}"
    assert PERSON.subject == f"person:{PERSON.person_id}"


def test_a_person_acts_for_themselves_and_names_nobody() -> None:
    assert own_or_given(PERSON, None) == PERSON.person_id
    with pytest.raises(ForbiddenError):
        own_or_given(PERSON, PERSON.person_id)


def test_a_service_names_somebody() -> None:
    somebody = uuid.uuid4()
    assert own_or_given(SERVICE, somebody) == somebody
    with pytest.raises(InvalidError):
        own_or_given(SERVICE, None)


class Inner(StrictSerializer):
    number = FiniteField(required=False)


class Outer(StrictSerializer):
    inner = Inner(required=False)
    several = serializers.ListField(child=Inner(), required=False)


@pytest.mark.parametrize(
    "body",
    [
        {"iner": {}},
        {"inner": {"nummer": 1}},
        {"several": [{}, {"nummer": 1}]},
        {"inner": [], "several": []},
        {"": 1},
    ],
)
def test_unknown_fields_are_refused_at_any_depth(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        validated(Outer, body)


def test_known_fields_come_through() -> None:
    body = {"inner": {"number": "1.5"}, "several": [{}]}
    assert validated(Outer, body) == {"inner": {"number": 1.5}, "several": [{}]}


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-Infinity", math.nan, math.inf, 10**400, "1e999", "x", []]
)
def test_numbers_are_finite(value: Any) -> None:
    with pytest.raises(ValidationError):
        validated(Inner, {"number": value})
