"""POST /v1/tokens: the dating app's backend gets a token for itself or for a person."""

from __future__ import annotations

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from profiles import access, services
from twinby.rest.callers import Caller, issue_token
from twinby.rest.strict import StrictSerializer, validated


class TokenInput(StrictSerializer):
    client_id = serializers.UUIDField()
    client_secret = serializers.CharField(max_length=200)
    person_id = serializers.UUIDField(required=False)


class TokenOutput(serializers.Serializer[object]):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="seconds")


class TokenView(APIView):
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        request=TokenInput,
        responses=TokenOutput,
        operation_id="create_token",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Exchange a client id and secret for a bearer token."""
        given = validated(TokenInput, request.data)
        client = services.authenticate_client(
            client_id=given["client_id"], secret=given["client_secret"]
        )
        who = Caller(client_id=client.pk)
        if "person_id" in given:
            person = access.person_of(who, given["person_id"])
            who = Caller(client_id=client.pk, person_id=person.pk)
        answer = {
            "access_token": issue_token(who),
            "token_type": "Bearer",
            "expires_in": int(settings.TOKEN_LIFETIME.total_seconds()),
        }
        # RFC 6749 5.1: nothing on the way may keep a token.
        return Response(answer, headers={"Cache-Control": "no-store"})
