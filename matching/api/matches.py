"""/v1/matches: whom a person may like today, and who likes each other already."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.core import signing
from django.db.models import Q, QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from matching import impressions
from matching.api.asking import FiltersInput, PageInput, insisted
from matching.api.search import FoundOutput, WishesOutput, matched, understood_of
from matching.models import Impression, Match
from matching.search import Page, Query, daily
from matching.wording import nothing_learned
from profiles.access import acting_person, people_of
from profiles.models import Profile
from twinby.errors import InvalidError
from twinby.rest.callers import Caller, caller
from twinby.rest.languages import ACCEPT_LANGUAGE, in_their_language
from twinby.rest.strict import validated_query

CURSOR_SALT = "matching.matches"


class DailyInput(PageInput, FiltersInput):
    """The filters of a search as parameters; lists are given repeatedly."""


class LearnedOutput(WishesOutput):
    """What the order goes by."""

    labels = serializers.IntegerField(help_text="likes and passes that have taught")


class DailyOutput(serializers.Serializer[Any]):
    matched_users = FoundOutput(many=True)
    preference = LearnedOutput()
    page_id = serializers.UUIDField(help_text="say it with feedback on this page")
    next_cursor = serializers.CharField(allow_null=True)


class MatchesView(APIView):
    @extend_schema(
        parameters=[DailyInput, ACCEPT_LANGUAGE],
        responses=DailyOutput,
        operation_id="list_matches",
    )
    def get(self, request: Request) -> Response:
        """Find the people a person would like, by what they liked and passed before.

        Nobody of whom they have said anything. As long as nothing has been learned,
        everybody is as good, and a lot drawn every day for each person decides.
        """
        given = validated_query(DailyInput, request.query_params)
        viewer = acting_person(caller(request), given.pop("person_id", None))
        limit, cursor = given.pop("limit"), given.pop("cursor") or ""
        query = Query(filters=insisted(given), limit=limit, cursor=cursor)
        page = daily(viewer, query)
        impressions.log(viewer, page, source=Impression.Source.DAILY)
        return in_their_language(request, lambda: described(page, viewer))


def described(page: Page, viewer: Profile) -> dict[str, Any]:
    """The answer as `DailyOutput` documents it; no vector is in it."""
    told = understood_of(page.wishes, page.space, page.prior)
    if not page.labels:
        told["sentence"] = nothing_learned()
    return {
        "matched_users": matched(page, viewer),
        "preference": told | {"labels": page.labels},
        "page_id": page.id,
        "next_cursor": page.next_cursor,
    }


class MutualInput(PageInput):
    person_id = serializers.UUIDField(
        required=False,
        help_text="with a service token: only theirs; refused otherwise",
    )
    since = serializers.DateTimeField(
        required=False,
        help_text="made or ended since; ask from a minute before the last one you saw",
    )


class MutualOutput(serializers.Serializer[Match]):
    id = serializers.UUIDField()
    user_ids = serializers.ListField(
        child=serializers.UUIDField(), min_length=2, max_length=2
    )
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    changed_at = serializers.DateTimeField(help_text="the later of both")


class MutualPageOutput(serializers.Serializer[Any]):
    matches = MutualOutput(many=True)
    next_cursor = serializers.CharField(allow_null=True)


class MutualMatchesView(APIView):
    @extend_schema(
        parameters=[MutualInput],
        responses=MutualPageOutput,
        operation_id="list_mutual_matches",
    )
    def get(self, request: Request) -> Response:
        """List who likes each other, or did: what changed first comes first.

        A person's own token sees theirs, a service token those of all its people.
        """
        given = validated_query(MutualInput, request.query_params)
        rows = changed(matches_of(caller(request), given.get("person_id")), given)
        page, more = rows[: given["limit"]], rows[given["limit"] :]
        return Response(
            {
                "matches": [_mutual(match) for match in page],
                "next_cursor": _cursor(page[-1]) if more else None,
            }
        )


def matches_of(who: Caller, person_id: uuid.UUID | None) -> QuerySet[Match]:
    """The matches that the caller may know of."""
    if who.person_id or person_id:
        person = acting_person(who, person_id)
        return Match.objects.filter(Q(first=person) | Q(second=person))
    return Match.objects.filter(first__in=people_of(who))  # both are of one client


def changed(matches: QuerySet[Match], given: dict[str, Any]) -> list[Match]:
    """One more than a page of them, in the order in which they changed."""
    if "since" in given:
        matches = matches.filter(changed_at__gte=given["since"])
    if given["cursor"]:
        moment, match_id = _position(given["cursor"])
        after = Q(changed_at__gt=moment) | Q(changed_at=moment, pk__gt=match_id)
        matches = matches.filter(after)
    return list(matches.order_by("changed_at", "pk")[: given["limit"] + 1])


def _mutual(match: Match) -> dict[str, Any]:
    return {
        "id": match.pk,
        "user_ids": [match.first_id, match.second_id],
        "created_at": match.created_at,
        "ended_at": match.ended_at,
        "changed_at": match.changed_at,
    }


def _cursor(match: Match) -> str:
    position = [match.changed_at.isoformat(), str(match.pk)]
    return signing.dumps(position, salt=CURSOR_SALT)


def _position(cursor: str) -> tuple[dt.datetime, uuid.UUID]:
    try:
        moment, match_id = signing.loads(cursor, salt=CURSOR_SALT)
    except signing.BadSignature:
        raise InvalidError(
            "This cursor is not one of ours.", kind="bad-cursor"
        ) from None
    return dt.datetime.fromisoformat(moment), uuid.UUID(match_id)
