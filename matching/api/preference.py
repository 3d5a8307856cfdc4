"""/v1/people/{id}/preference: what feedback has taught, in words and numbers."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from matching import labels, spaces, tastes
from matching.api.search import WishesOutput, understood_of
from matching.explain import wishes
from matching.wording import nothing_learned
from profiles.access import person_of
from twinby.rest.callers import caller
from twinby.rest.languages import ACCEPT_LANGUAGE, in_their_language


class PreferenceOutput(WishesOutput):
    liked = serializers.IntegerField(help_text="people whose like has taught")
    super_liked = serializers.IntegerField()
    passed = serializers.IntegerField()


class PreferenceView(APIView):
    @extend_schema(
        parameters=[ACCEPT_LANGUAGE],
        responses=PreferenceOutput,
        operation_id="get_preference",
    )
    def get(self, request: Request, person_id: uuid.UUID) -> Response:
        """What has been learned about a person's taste from their feedback."""
        person = person_of(caller(request), person_id)
        stored = spaces.active_space()
        space = spaces.feature_space(stored)
        taught = labels.of(person, stored)
        taste = tastes.fit(taught, prior=tastes.believed(person, stored))
        found = wishes(space, preference=taste)

        def described() -> dict[str, Any]:
            told = understood_of(found, space, taste.prior.version)
            if not taught.kinds:
                told["sentence"] = nothing_learned()
            return told | counts(taught.kinds)

        return in_their_language(request, described)

    @extend_schema(responses={204: None}, operation_id="reset_preference")
    def delete(self, request: Request, person_id: uuid.UUID) -> Response:
        """Forget what was learned: feedback until now teaches nothing any more.

        It still says whom the person has seen, likes and matches.
        """
        tastes.reset(person_of(caller(request), person_id))
        return Response(status=204)


def counts(kinds: tuple[str, ...]) -> dict[str, Any]:
    """How many labels of each kind have taught."""
    return {
        "liked": kinds.count("like"),
        "super_liked": kinds.count("super_like"),
        "passed": kinds.count("pass"),
    }
