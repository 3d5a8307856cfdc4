"""/v1/people: the people of a client, as they declare themselves."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from profiles import access, services
from profiles.models import ADULT_AGE, OLDEST_AGE, Gender, Photo, Profile
from twinby.errors import ForbiddenError
from twinby.rest.callers import caller
from twinby.rest.strict import FiniteField, StrictSerializer, validated

OWN_STATUSES = (Profile.Status.ACTIVE, Profile.Status.PAUSED)


class PersonFields(StrictSerializer):
    """What a person declares; the same words in and out."""

    birth_date = serializers.DateField()
    gender = serializers.ChoiceField(choices=Gender.choices)
    seeking = serializers.ListField(
        child=serializers.ChoiceField(choices=Gender.choices),
        min_length=1,
        max_length=len(Gender),
    )
    sought_age_min = serializers.IntegerField(
        min_value=ADULT_AGE, max_value=OLDEST_AGE, default=ADULT_AGE
    )
    sought_age_max = serializers.IntegerField(
        min_value=ADULT_AGE, max_value=OLDEST_AGE, default=OLDEST_AGE
    )
    about = serializers.CharField(max_length=2000, allow_blank=True, default="")
    smokes = serializers.BooleanField(allow_null=True, default=None)
    latitude = FiniteField(min_value=-90, max_value=90, allow_null=True, default=None)
    longitude = FiniteField(
        min_value=-180, max_value=180, allow_null=True, default=None
    )
    last_active_at = serializers.DateTimeField(required=False)
    consent = serializers.BooleanField(
        default=False, help_text="to photos being analysed and the person being found"
    )


class PersonPatch(PersonFields):
    """Any of the fields; what is not given stays as it is."""

    status = serializers.ChoiceField(choices=[(s.value, s.label) for s in OWN_STATUSES])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "partial": True})


class PersonOutput(serializers.Serializer[Profile]):
    id = serializers.UUIDField()
    birth_date = serializers.DateField()
    gender = serializers.CharField()
    seeking = serializers.ListField(child=serializers.CharField())
    sought_age_min = serializers.IntegerField()
    sought_age_max = serializers.IntegerField()
    about = serializers.CharField()
    smokes = serializers.BooleanField(allow_null=True)
    latitude = serializers.FloatField(allow_null=True)
    longitude = serializers.FloatField(allow_null=True)
    last_active_at = serializers.DateTimeField()
    consent = serializers.BooleanField(source="consents")
    status = serializers.CharField()
    photo_ids = serializers.SerializerMethodField()

    def get_photo_ids(self, person: Profile) -> list[uuid.UUID]:
        own = person.photos.filter(purpose=Photo.Purpose.PROFILE)
        return list(own.order_by("created_at", "pk").values_list("pk", flat=True))


class PeopleView(APIView):
    @extend_schema(
        request=PersonFields,
        responses={201: PersonOutput},
        operation_id="create_person",
    )
    def post(self, request: Request) -> Response:
        """Create a person of the client's; service tokens only."""
        who = caller(request)
        if who.person_id:
            raise ForbiddenError("Only a service token may create people.")
        given = validated(PersonFields, request.data)
        person = services.create_profile(client_id=who.client_id, **given)
        return Response(PersonOutput(person).data, status=201)


class PersonView(APIView):
    @extend_schema(responses=PersonOutput, operation_id="get_person")
    def get(self, request: Request, person_id: uuid.UUID) -> Response:
        """What is known of a person, to themselves and their client."""
        person = access.person_of(caller(request), person_id)
        return Response(PersonOutput(person).data)

    @extend_schema(
        request=PersonPatch, responses=PersonOutput, operation_id="change_person"
    )
    def patch(self, request: Request, person_id: uuid.UUID) -> Response:
        """Change what a person declares; `consent: false` takes effect at once."""
        person = access.person_of(caller(request), person_id)
        given = validated(PersonPatch, request.data)
        person = services.update_profile(person, **given)
        return Response(PersonOutput(person).data)

    @extend_schema(responses={204: None}, operation_id="erase_person")
    def delete(self, request: Request, person_id: uuid.UUID) -> Response:
        """Erase a person and everything derived from them."""
        services.erase_profile(access.person_of(caller(request), person_id))
        return Response(status=204)
