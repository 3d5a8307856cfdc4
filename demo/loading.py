"""The London set becomes people of the demo's client, through the services."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from demo.london import NEUTRAL, SMILING, Face, Rater
from profiles import services
from profiles.models import Client, Gender, Photo, Profile, years_before

EXPRESSIONS = (NEUTRAL, SMILING)
# The set leaves out two ages; this is the others' median, rounded.
MADE_UP_AGE = 26
LONDON = 51.51, -0.13
SPREAD_DEGREES = 0.1


def load(
    client: Client, faces: Sequence[Face], *, step: Callable[[], None] = lambda: None
) -> int:
    """Everybody who is not there yet, with both photos; returns how many were new.

    A second run does nothing; one that was interrupted is completed.
    """
    complete = _complete(client)
    added = 0
    for face in faces:
        if _about(face) not in complete:
            _load(client, face)
            added += 1
        step()
    return added


def photo_ids(client: Client, faces: Sequence[Face]) -> dict[str, uuid.UUID]:
    """The neutral photo, which is the one that was rated, of each face number."""
    rows = Photo.objects.filter(owner__client=client, purpose=Photo.Purpose.PROFILE)
    by_content = dict(rows.values_list("sha256", "pk"))
    return {
        face.number: by_content[hashlib.sha256(face.photo(NEUTRAL)).hexdigest()]
        for face in faces
    }


def people(client: Client, faces: Sequence[Face]) -> dict[str, uuid.UUID]:
    """The person of each face number."""
    rows = Profile.objects.filter(client=client, synthetic=True)
    by_about = dict(rows.values_list("about", "pk"))
    return {face.number: by_about[_about(face)] for face in faces}


def searcher(client: Client, rater: Rater) -> Profile:
    """The rater as a person who may search; without a photo, nobody finds them."""
    about = (
        f"Rater {rater.id} of the Face Research Lab London Set. "
        "Place and birthday are made up."
    )
    known = Profile.objects.filter(client=client, synthetic=True, about=about).first()
    return known or _create(
        client, about, gender=rater.sex, age=rater.age, seeking=[rater.prefers]
    )


def _complete(client: Client) -> set[str]:
    # A photo that a moderator has rejected since is as loaded as any.
    decided = Q(photos__purpose=Photo.Purpose.PROFILE) & ~Q(
        photos__status=Photo.Status.PENDING
    )
    rows = Profile.objects.filter(client=client, synthetic=True)
    whole = rows.annotate(decided=Count("photos", filter=decided)).filter(
        decided__gte=len(EXPRESSIONS)
    )
    return set(whole.values_list("about", flat=True))


def _load(client: Client, face: Face) -> None:
    about = _about(face)
    known = Profile.objects.filter(client=client, synthetic=True, about=about).first()
    person = known or _create(
        client,
        about,
        gender=face.gender,
        age=face.age or MADE_UP_AGE,
        seeking=list(Gender),
    )
    for expression in EXPRESSIONS:
        photo = services.add_photo(
            owner=person,
            data=face.photo(expression),
            purpose=Photo.Purpose.PROFILE,
        )
        if photo.status == Photo.Status.PENDING:
            services.approve(photo.pk, source=Photo.ApprovalSource.CURATED)


def _about(face: Face) -> str:
    made_up = "Whom they seek, place and birthday"
    if face.age is None:
        made_up = "Age, whom they seek, place and birthday"
    return (
        f"Face {face.number} of the Face Research Lab London Set (CC-BY 4.0). "
        f"{made_up} are made up."
    )


def _create(client: Client, about: str, *, age: int, **fields: Any) -> Profile:
    chance = random.Random(about)  # noqa: S311 - the same person gets the same place
    born = years_before(timezone.localdate(), age)
    return services.create_profile(
        client_id=client.pk,
        consent=True,
        synthetic=True,
        about=about,
        birth_date=born - dt.timedelta(days=chance.randrange(365)),
        latitude=LONDON[0] + chance.gauss(0, SPREAD_DEGREES),
        longitude=LONDON[1] + chance.gauss(0, SPREAD_DEGREES),
        **fields,
    )
