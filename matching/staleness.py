"""Whose vectors are missing, or say what is no longer so."""

from __future__ import annotations

from django.db import models
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from annotation.models import Annotation, Correction
from annotation.services import current_readings
from matching.models import PersonVector, Space
from profiles.models import Photo, Profile, ProfileQuerySet


def missing(space: Space) -> ProfileQuerySet:
    """People who may be found, but are not in this space."""
    vectors = PersonVector.objects.filter(space=space, profile=OuterRef("pk"))
    return Profile.objects.searchable().filter(~Exists(vectors))


def out_of_date(space: Space, *, annotator: str) -> models.QuerySet[Profile]:
    """People whose vector does not say what is known of them, or ought to be gone.

    What is known is what `annotator`, the space's, or the active version has read.
    """
    vectors = PersonVector.objects.filter(space=space, profile=OuterRef("pk"))
    read = current_readings(annotator).filter(
        photo__in=Photo.objects.published(), photo__owner=OuterRef("pk")
    )
    photos = Count("photo", distinct=True)
    counted = read.values("photo__owner").annotate(count=photos).values("count")
    searchable = Profile.objects.searchable()
    miscounted = searchable.annotate(
        indexed=Coalesce(Subquery(vectors.values("photos")), 0),
        known=Coalesce(Subquery(counted), 0),
    ).exclude(indexed=F("known"))
    gone = Profile.objects.filter(Exists(vectors)).exclude(pk__in=searchable)
    ids = [people.values("pk") for people in (miscounted, _overtaken(space), gone)]
    return Profile.objects.filter(
        Q(pk__in=ids[0]) | Q(pk__in=ids[1]) | Q(pk__in=ids[2])
    )


def _overtaken(space: Space) -> models.QuerySet[Profile]:
    """Of whom something was read, corrected or judged after they were indexed."""
    indexed_at = F("photo__owner__vectors__updated_at")
    theirs = {"photo__owner": OuterRef("pk"), "photo__owner__vectors__space": space}
    read = Annotation.objects.filter(**theirs, updated_at__gt=indexed_at)
    corrected = Correction.objects.filter(
        Q(created_at__gt=indexed_at) | Q(withdrawn_at__gt=indexed_at), **theirs
    )
    judged = Photo.objects.filter(
        purpose=Photo.Purpose.PROFILE,
        owner=OuterRef("pk"),
        owner__vectors__space=space,
        updated_at__gt=F("owner__vectors__updated_at"),
    )
    return Profile.objects.searchable().filter(
        Exists(read) | Exists(corrected) | Exists(judged)
    )
