"""/v1/feedback: what people say of each other, taken in once, and undone."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from matching.api.asking import PersonInput
from matching.models import Feedback
from matching.services import feedback
from profiles.access import acting_person
from twinby.rest.callers import caller
from twinby.rest.strict import StrictSerializer, validated, validated_query

MAX_EVENTS = 500


class EventInput(StrictSerializer):
    event_id = serializers.UUIDField(
        help_text="made up by the app; sent again, it gets the same answer"
    )
    kind = serializers.ChoiceField(choices=Feedback.Kind.choices)
    user_id = serializers.UUIDField(help_text="of whom it is said")
    page_id = serializers.UUIDField(
        required=False, allow_null=True, help_text="of the answer that showed them"
    )
    reason = serializers.ChoiceField(
        choices=Feedback.Reason.choices, required=False, help_text="of a report only"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "reason" in attrs and attrs["kind"] != Feedback.Kind.REPORT:
            raise serializers.ValidationError({"reason": "Only a report has a reason."})
        return attrs


class FeedbackInput(PersonInput):
    events = EventInput(many=True, allow_empty=False, max_length=MAX_EVENTS)  # type: ignore[call-arg]


class OutcomeOutput(serializers.Serializer[Any]):
    event_id = serializers.UUIDField()
    recorded = serializers.BooleanField(
        help_text="false: there is no such person (any more); nothing was kept"
    )
    matched = serializers.BooleanField(
        help_text="the two liked each other once this was said"
    )


class FeedbackOutput(serializers.Serializer[Any]):
    results = OutcomeOutput(many=True, help_text="one for each event, in its order")


class FeedbackView(APIView):
    @extend_schema(
        request=FeedbackInput, responses=FeedbackOutput, operation_id="give_feedback"
    )
    def post(self, request: Request) -> Response:
        """Take in what a person says of others, in its order; whole or not at all."""
        given = validated(FeedbackInput, request.data)
        actor = acting_person(caller(request), given.get("person_id"))
        events = [
            feedback.Event(
                event_id=event["event_id"],
                kind=event["kind"],
                target_id=event["user_id"],
                page_id=event.get("page_id"),
                reason=event.get("reason", ""),
            )
            for event in given["events"]
        ]
        outcomes = feedback.record(actor, events)
        return Response({"results": OutcomeOutput(outcomes, many=True).data})


class UndoView(APIView):
    @extend_schema(
        parameters=[PersonInput],
        responses={204: None},
        operation_id="undo_feedback",
    )
    def delete(self, request: Request, event_id: uuid.UUID) -> Response:
        """Undo what was said: as if it never had been; twice does no harm."""
        given = validated_query(PersonInput, request.query_params)
        actor = acting_person(caller(request), given.get("person_id"))
        feedback.undo(actor, event_id)
        return Response(status=204)
