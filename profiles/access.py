"""Who calls, and which people and photos they may touch: a service its own people's."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.db import connection
from django.db.models import QuerySet
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import Token

from profiles.models import Photo, PhotoQuerySet, Profile
from twinby.errors import NotFoundError
from twinby.rest.callers import Caller, CallerAuthentication, own_or_given

# Fixed, as every request asks them.
ALIVE: Final = """
SELECT FROM profiles_client client WHERE id = %(client)s AND active
AND (%(person)s::uuid IS NULL OR EXISTS (
    SELECT FROM profiles_profile WHERE id = %(person)s AND client_id = client.id
))
"""
# One of `people_of` a client.
PERSON: Final = "SELECT * FROM profiles_profile WHERE id = %s AND client_id = %s"


class LiveCallerAuthentication(CallerAuthentication):
    """Tokens of active clients and living people only.

    One look-up by primary key a request, so that a client's deactivation or a person's
    erasure takes effect at once, not when the last token expires.
    """

    def get_user(self, validated_token: Token) -> Any:
        who = super().get_user(validated_token)
        if not _alive(who):
            raise InvalidToken("This token's owner is no longer known.")
        return who


def _alive(who: Caller) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(ALIVE, {"client": who.client_id, "person": who.person_id})
        return cursor.fetchone() is not None


def people_of(who: Caller) -> QuerySet[Profile]:
    """The people the caller may act for."""
    people = Profile.objects.filter(client_id=who.client_id)
    return people.filter(pk=who.person_id) if who.person_id else people


def photos_of(who: Caller) -> PhotoQuerySet:
    """The photos of the people the caller may act for."""
    return Photo.objects.filter(owner__in=people_of(who))


def person_of(who: Caller, person_id: uuid.UUID) -> Profile:
    """The person, if the caller may act for them; NotFoundError hides all others."""
    people = Profile.objects.raw(PERSON, [person_id, who.client_id])
    person = next(iter(people), None)
    if person is None or who.person_id not in {None, person.pk}:
        raise NotFoundError("There is no such person.")
    return person


def acting_person(who: Caller, given: uuid.UUID | None) -> Profile:
    """For whom a request is made: see `twinby.rest.callers.own_or_given`."""
    return person_of(who, own_or_given(who, given))


def photo_of(who: Caller, photo_id: uuid.UUID) -> Photo:
    """A photo whose owner the caller may act for; NotFoundError hides all others."""
    photo = photos_of(who).select_related("owner").filter(pk=photo_id).first()
    if photo is None:
        raise NotFoundError("There is no such photo.")
    return photo
