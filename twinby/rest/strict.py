"""What may be said: input that is understood whole or refused."""

from __future__ import annotations

import math
from typing import Any

from django.http import QueryDict
from rest_framework import serializers


class FiniteField(serializers.FloatField):
    """A number: not "nan", which passes every minimum and maximum, and no infinity."""

    def to_internal_value(self, data: Any) -> float:
        try:
            number = super().to_internal_value(data)
        except OverflowError:  # a whole number beyond all floats
            number = math.inf
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class StrictSerializer(serializers.Serializer[Any]):
    """Input that refuses fields it does not know: a typo is an error, not a no-op."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(
                    {str(name): ["Unknown field."] for name in unknown}
                )
        return super().to_internal_value(data)


def validated_query(
    serializer: type[serializers.Serializer[Any]], query: QueryDict
) -> Any:
    """The validated parameters of an address; a list is a parameter given repeatedly.

    As a plain mapping: in a form, what is not there would count as false.
    """
    lists = {
        name
        for name, field in serializer().fields.items()
        if isinstance(field, serializers.ListField)
    }
    given = {
        name: values if name in lists else values[-1] for name, values in query.lists()
    }
    return validated(serializer, given)


def validated(serializer: type[serializers.Serializer[Any]], data: Any) -> Any:
    """The input's validated data; raises DRF's ValidationError."""
    instance = serializer(data=data)
    instance.is_valid(raise_exception=True)
    return instance.validated_data
