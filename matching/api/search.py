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

from matching import impressions
from matching.api.asking import FiltersInput, PageInput, insisted
from matching.explain import Addend, Explanation, Wish
from matching.features import FeatureSpace
from matching.models import Impression
from matching.preference import DEFAULT, METHODS, importance
from matching.search import Match, Page, Query, search
from matching.wording import sentence, understood
from profiles.access import acting_person
from profiles.links import photo_url
from profiles.models import Photo, Profile
from twinby.rest.callers import caller
from twinby.rest.languages import ACCEPT_LANGUAGE, in_their_language
from twinby.rest.strict import FiniteField, validated

MAX_EXAMPLES = 50
MAX_IMPORTANCE = 10.0
WISHES_SHOWN = 10
# What adds less than this changes no probability that anybody sees; together the
# small addends are one, so that the sum stays whole.
SMALLEST_ADDEND = 1e-3


class SearchInput(PageInput):
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
    method = serializers.ChoiceField(
        choices=list(METHODS),
        required=False,
        help_text=f"how the taste is learned, {DEFAULT} if nothing is said",
    )

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


class FoundOutput(serializers.Serializer[Any]):
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


class WishesOutput(serializers.Serializer[Any]):
    """What somebody seems to like, and by which versions that was learned."""

    sentence = serializers.CharField()
    wishes = WishOutput(many=True)
    aversions = WishOutput(many=True)
    feature_space = serializers.CharField()
    annotator = serializers.CharField()
    prior = serializers.CharField()


class UnderstoodOutput(WishesOutput):
    """What was understood of the request."""

    positive_photos = serializers.IntegerField()
    negative_photos = serializers.IntegerField()


class SearchOutput(serializers.Serializer[Any]):
    matched_users = FoundOutput(many=True)
    query = UnderstoodOutput()
    page_id = serializers.UUIDField(help_text="say it with feedback on this page")
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
        impressions.log(viewer, page, source=Impression.Source.SEARCH)
        return in_their_language(request, lambda: described(page, query, viewer))


def understand(given: dict[str, Any]) -> Query:
    """Validated input as the search's own words."""
    return Query(
        liked=tuple(given["positive_photo_ids"]),
        disliked=tuple(given["negative_photo_ids"]),
        filters=insisted(given["filters"]),
        importance=given["weights"],
        limit=given["limit"],
        cursor=given["cursor"] or "",
        method=given.get("method", ""),
    )


def described(page: Page, query: Query, viewer: Profile) -> dict[str, Any]:
    """The answer as `SearchOutput` documents it; no vector is in it.

    Plain data: a serializer would copy thousands of addends to no end.
    """
    sides = {
        "positive_photos": len(query.liked),
        "negative_photos": len(query.disliked),
    }
    return {
        "matched_users": matched(page, viewer),
        "query": understood_of(page.wishes, page.space, page.prior) | sides,
        "page_id": page.id,
        "next_cursor": page.next_cursor,
    }


def matched(page: Page, viewer: Profile) -> list[dict[str, Any]]:
    """The people of a page as `FoundOutput` documents them."""
    photos = published_photos([match.profile_id for match in page.matches], viewer)
    return [_match(match, page, photos) for match in page.matches]


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
    told = explanation.addends(SMALLEST_ADDEND)
    told.sort(key=lambda addend: -abs(addend.amount))
    small = explanation.score - sum(addend.amount for addend in told)
    rest = {"source": "rest", "name": "rest", "value": None, "amount": small}
    return [*map(_addend, told), {**rest, "liked_photos": (), "disliked_photos": ()}]


def _addend(addend: Addend) -> dict[str, Any]:
    return {
        "source": addend.source,
        "name": addend.name,
        "value": addend.value,
        "amount": addend.amount,
        "liked_photos": addend.liked,
        "disliked_photos": addend.disliked,
    }


def understood_of(
    wishes: list[Wish], space: FeatureSpace, prior: str
) -> dict[str, Any]:
    """Wishes, the strongest first, as `WishesOutput` documents them."""
    shown = [_wish(wish) for wish in wishes]
    return {
        "sentence": understood(wishes),
        "wishes": [w for w in shown if w["weight"] > 0][:WISHES_SHOWN],
        "aversions": [w for w in reversed(shown) if w["weight"] < 0][:WISHES_SHOWN],
        "feature_space": space.version,
        "annotator": space.model,
        "prior": prior,
    }


def _wish(wish: Wish) -> dict[str, Any]:
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
