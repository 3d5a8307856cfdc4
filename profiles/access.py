"""Which people and photos a caller may touch: their own, and a service's own people."""

from __future__ import annotations

import uuid

from profiles.models import Photo, Profile
from twinby.errors import NotFoundError
from twinby.rest.callers import Caller, own_or_given


def person_of(who: Caller, person_id: uuid.UUID) -> Profile:
    """The person, if the caller may act for them; NotFoundError hides all others."""
    people = Profile.objects.filter(client_id=who.client_id)
    if who.person_id:
        people = people.filter(pk=who.person_id)
    person = people.filter(pk=person_id).first()
    if person is None:
        raise NotFoundError("There is no such person.")
    return person


def acting_person(who: Caller, given: uuid.UUID | None) -> Profile:
    """For whom a request is made: see `twinby.rest.callers.own_or_given`."""
    return person_of(who, own_or_given(who, given))


def photo_of(who: Caller, photo_id: uuid.UUID) -> Photo:
    """A photo whose owner the caller may act for; NotFoundError hides all others."""
    photos = Photo.objects.filter(owner__client_id=who.client_id)
    if who.person_id:
        photos = photos.filter(owner_id=who.person_id)
    photo = photos.select_related("owner").filter(pk=photo_id).first()
    if photo is None:
        raise NotFoundError("There is no such photo.")
    return photo
