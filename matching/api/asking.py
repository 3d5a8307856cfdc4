"""What requests for people have in common: for whom, filters, and a page."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from rest_framework import serializers

from annotation.schema import value_names
from matching.selectors import Filters
from profiles.models import ADULT_AGE, OLDEST_AGE, Gender
from twinby.rest.strict import FiniteField, StrictSerializer

MAX_EXCLUDED = 10_000
MAX_RADIUS_KM = 20_100  # half way around the Earth
WISHES = [f"{attribute.name}.{value}" for attribute, value in value_names()]


class WishList(serializers.ListField):
    def __init__(self, **kwargs: Any) -> None:
        child = serializers.ChoiceField(choices=WISHES)
        super().__init__(child=child, required=False, max_length=len(WISHES), **kwargs)


class FiltersInput(StrictSerializer):
    """Hard wishes: nobody who fails one is in the answer."""

    genders = serializers.ListField(
        child=serializers.ChoiceField(choices=Gender.choices),
        required=False,
        max_length=len(Gender),
    )
    age_min = serializers.IntegerField(
        min_value=ADULT_AGE, max_value=OLDEST_AGE, required=False
    )
    age_max = serializers.IntegerField(
        min_value=ADULT_AGE, max_value=OLDEST_AGE, required=False
    )
    radius_km = FiniteField(min_value=0.1, max_value=MAX_RADIUS_KM, required=False)
    must = WishList(help_text='for instance ["eyewear.glasses"]; unknown fails')
    never = WishList(help_text='for instance ["headwear.hat"]; unknown passes')
    smokes = serializers.BooleanField(required=False)
    exclude_user_ids = serializers.ListField(
        child=serializers.UUIDField(), required=False, max_length=MAX_EXCLUDED
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("age_min", ADULT_AGE) > attrs.get("age_max", OLDEST_AGE):
            raise serializers.ValidationError({"age_min": "Must not exceed age_max."})
        return attrs


class PersonInput(StrictSerializer):
    """For whom a request is made."""

    person_id = serializers.UUIDField(
        required=False, help_text="required with a service token, refused otherwise"
    )


class PageInput(PersonInput):
    """How much of an answer, and from where on."""

    limit = serializers.IntegerField(min_value=1, default=20)
    cursor = serializers.CharField(
        max_length=1000, allow_null=True, allow_blank=True, default=""
    )

    def validate_limit(self, limit: int) -> int:
        if limit > settings.SEARCH_MAX_LIMIT:
            raise serializers.ValidationError(
                f"At most {settings.SEARCH_MAX_LIMIT} a page; follow next_cursor."
            )
        return limit


def insisted(given: dict[str, Any]) -> Filters:
    """Validated filters as the search's own words."""
    wanted = dict(given)
    exclude = frozenset(wanted.pop("exclude_user_ids", ()))
    lists = {name: tuple(v) for name, v in wanted.items() if isinstance(v, list)}
    return Filters(**{**wanted, **lists, "exclude": exclude})
