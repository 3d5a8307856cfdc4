"""POST /v1/search/visual: ten photos in, a ranked and explained page of people out."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.schema import value_names
from matching.explain import Addend, Explanation
from matching.preference import importance
from matching.search import Match, Page, Query, search
from matching.selectors import Filters
from matching.wording import sentence, understood
from profiles.access import acting_person
from profiles.links import photo_url
from profiles.models import ADULT_AGE, OLDEST_AGE, Gender, Photo, Profile
from twinby.rest.callers import caller
from twinby.rest.languages import ACCEPT_LANGUAGE, in_their_language
from twinby.rest.strict import FiniteField, StrictSerializer, validated

MAX_EXAMPLES = 50
MAX_EXCLUDED = 10_000
MAX_RADIUS_KM = 20_100  # half way around the Earth
MAX_IMPORTANCE = 10.0
WISHES_SHOWN = 10
# What adds less than this changes no probability that anybody sees; together the
# small addends are one, so that the sum stays whole.
SMALLEST_ADDEND = 1e-3
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


class SearchInput(StrictSerializer):
    person_id = serializers.UUIDField(
        required=False, help_text="required with a service token, refused otherwise"
    )
    positive_photo_ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MAX_EXAMPLES
    )
    negative_photo_ids = serializers.ListField(
        child=serializers.UUIDField(), max_length=MAX_EXAMPLES, default=list
    )
    filters = FiltersInput(default=dict)
    weights = serializers.DictField(
        child=FiniteField(min_value=0, max_value=MAX_IMPORTANCE),
        default=dict,
        help_text='importance by group, attribute or "visual"; 1 is usual',
    )
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

    def validate_weights(self, weights: dict[str, float]) -> dict[str, float]:
        try:
            importance(weights)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None
        return weights

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name in ("positive_photo_ids", "negative_photo_ids"):
            if len(attrs[name]) > settings.SEARCH_MAX_EXAMPLES:
                raise serializers.ValidationError(
                    {name: f"At most {settings.SEARCH_MAX_EXAMPLES} photos."}
                )
        every = attrs["positive_photo_ids"] + attrs["negative_photo_ids"]
        if len(set(every)) < len(every):
            raise serializers.ValidationError(
                {"positive_photo_ids": "A photo may be given only once, on one side."}
            )
        return attrs


class ContributionOutput(serializers.Serializer[Addend]):
    source = serializers.CharField(  # type: ignore[assignment]
        help_text="prior, attribute, visual, stage, or rest: all that is very small"
    )
    name = serializers.CharField()
    value = serializers.CharField(allow_null=True)
    amount = serializers.FloatField(help_text="log-odds; all of them sum to score")
    liked_photos = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="which liked photos bring it, from 1 in the order given",
    )
    disliked_photos = serializers.ListField(child=serializers.IntegerField())


class GroupOutput(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="of attributes, visual, prior, or a stage")
    amount = serializers.FloatField(help_text="log-odds; all of them sum to score")


class ResultPhoto(serializers.Serializer[Photo]):
    id = serializers.UUIDField()
    url = serializers.CharField()


class MatchOutput(serializers.Serializer[Any]):
    user_id = serializers.UUIDField()
    match_score = serializers.FloatField(help_text="probability of a like, 0 to 1")
    calibrated = serializers.BooleanField()
    score = serializers.FloatField(help_text="log-odds; what the order goes by")
    explanation = serializers.CharField()
    groups = GroupOutput(many=True)
    contributions = ContributionOutput(many=True)
    photos = ResultPhoto(many=True)


class WishOutput(serializers.Serializer[Any]):
    attribute = serializers.CharField()
    value = serializers.CharField()
    weight = serializers.FloatField()
    liked = serializers.IntegerField(help_text="liked photos that clearly show it")
    disliked = serializers.IntegerField()


class UnderstoodOutput(serializers.Serializer[Any]):
    """What was understood of the request."""

    sentence = serializers.CharField()
    wishes = WishOutput(many=True)
    aversions = WishOutput(many=True)
    positive_photos = serializers.IntegerField()
    negative_photos = serializers.IntegerField()
    feature_space = serializers.CharField()
    annotator = serializers.CharField()
    prior = serializers.CharField()


class SearchOutput(serializers.Serializer[Any]):
    matched_users = MatchOutput(many=True)
    query = UnderstoodOutput()
    next_cursor = serializers.CharField(allow_null=True)


class VisualSearchView(APIView):
    @extend_schema(
        request=SearchInput,
        parameters=[ACCEPT_LANGUAGE],
        responses=SearchOutput,
        operation_id="search_visual",
    )
    def post(self, request: Request) -> Response:
        """Find the people a person would like, by photos they like and dislike."""
        given = validated(SearchInput, request.data)
        viewer = acting_person(caller(request), given.get("person_id"))
        query = understand(given)
        page = search(viewer, query)
        return in_their_language(request, lambda: described(page, query, viewer))


def understand(given: dict[str, Any]) -> Query:
    """Validated input as the search's own words."""
    wanted = dict(given["filters"])
    exclude = frozenset(wanted.pop("exclude_user_ids", ()))
    lists = {name: tuple(v) for name, v in wanted.items() if isinstance(v, list)}
    return Query(
        liked=tuple(given["positive_photo_ids"]),
        disliked=tuple(given["negative_photo_ids"]),
        filters=Filters(**{**wanted, **lists, "exclude": exclude}),
        importance=given["weights"],
        limit=given["limit"],
        cursor=given["cursor"] or "",
    )


def described(page: Page, query: Query, viewer: Profile) -> dict[str, Any]:
    """The answer as `SearchOutput` documents it; no vector is in it.

    Plain data: a serializer would copy thousands of addends to no end.
    """
    photos = published_photos([match.profile_id for match in page.matches], viewer)
    return {
        "matched_users": [_match(match, page, photos) for match in page.matches],
        "query": _understood(page, query),
        "next_cursor": page.next_cursor,
    }


def _match(
    match: Match, page: Page, photos: dict[uuid.UUID, list[Any]]
) -> dict[str, Any]:
    groups = match.explanation.groups.items()
    return {
        "user_id": match.profile_id,
        "match_score": match.ranked.match_score,
        "calibrated": page.calibration is not None,
        "score": match.ranked.score,
        "explanation": sentence(match.explanation),
        "groups": [{"name": name, "amount": amount} for name, amount in groups],
        "contributions": _contributions(match.explanation),
        "photos": photos.get(match.profile_id, []),
    }


def _contributions(explanation: Explanation) -> list[dict[str, Any]]:
    """The addends, strongest first; they sum to the score."""
    ordered = sorted(explanation.addends, key=lambda addend: -abs(addend.amount))
    told = [_addend(a) for a in ordered if abs(a.amount) >= SMALLEST_ADDEND]
    small = sum(a.amount for a in ordered[len(told) :])
    rest = {"source": "rest", "name": "rest", "value": None, "amount": small}
    return [*told, {**rest, "liked_photos": (), "disliked_photos": ()}]


def _addend(addend: Addend) -> dict[str, Any]:
    return {
        "source": addend.source,
        "name": addend.name,
        "value": addend.value,
        "amount": addend.amount,
        "liked_photos": addend.liked,
        "disliked_photos": addend.disliked,
    }


def _understood(page: Page, query: Query) -> dict[str, Any]:
    shown = [_wish(wish) for wish in page.wishes]
    return {
        "sentence": understood(page.wishes),
        "wishes": [w for w in shown if w["weight"] > 0][:WISHES_SHOWN],
        "aversions": [w for w in reversed(shown) if w["weight"] < 0][:WISHES_SHOWN],
        "positive_photos": len(query.liked),
        "negative_photos": len(query.disliked),
        "feature_space": page.space.version,
        "annotator": page.space.model,
        "prior": page.prior,
    }


def _wish(wish: Any) -> dict[str, Any]:
    return {
        "attribute": wish.name,
        "value": wish.value,
        "weight": wish.weight,
        "liked": wish.liked,
        "disliked": wish.disliked,
    }


def published_photos(
    profile_ids: list[uuid.UUID], viewer: Profile
) -> dict[uuid.UUID, list[dict[str, Any]]]:
    """The photos of people in an answer, with links made for this viewer."""
    photos: dict[uuid.UUID, list[dict[str, Any]]] = {}
    rows = Photo.objects.published().filter(owner_id__in=profile_ids)
    for pk, owner_id in rows.order_by("created_at", "pk").values_list("pk", "owner_id"):
        link = {"id": pk, "url": photo_url(pk, viewer_id=viewer.pk)}
        photos.setdefault(owner_id, []).append(link)
    return photos
