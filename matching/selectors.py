"""The only SQL that reads vectors: who passes the hard filters, in order of liking."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import models
from django.db.models import (
    Count,
    Exists,
    F,
    FloatField,
    OuterRef,
    Q,
    Subquery,
    Value,
)
from django.db.models.functions import (
    ASin,
    Cast,
    Coalesce,
    Cos,
    Least,
    Power,
    Radians,
    Sin,
    Sqrt,
)
from django.utils import timezone
from pgvector.django import MaxInnerProduct, VectorField

from annotation.models import Annotation, Correction
from annotation.services import current_readings
from matching.features import STORED_WIDTH, pack_query
from matching.models import Feedback, PersonVector, Space
from profiles.models import ADULT_AGE, OLDEST_AGE, Photo, Profile, ProfileQuerySet
from twinby.errors import InvalidError

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
KM_PER_DEGREE = EARTH_RADIUS_KM * math.pi / 180
SMOKING = "objects.cigarette"


@dataclass(frozen=True)
class Filters:
    """What a person insists on, beyond what always holds (`Profile.visible_to`).

    `must` and `never` name "attribute.value" wishes: a must fails where nothing is
    known, a never passes. `smokes=False` also believes what people declare.
    """

    genders: tuple[str, ...] = ()
    age_min: int = ADULT_AGE
    age_max: int = OLDEST_AGE
    radius_km: float | None = None
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    smokes: bool | None = None
    exclude: frozenset[uuid.UUID] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Position:
    """Where a page ended: the next one holds whatever comes strictly after."""

    distance: float
    profile_id: uuid.UUID


@dataclass(frozen=True)
class Found:
    """A candidate as stored: `vector` is (768,), `distance` is -<vector, query>."""

    profile_id: uuid.UUID
    vector: npt.NDArray[np.float64]
    distance: float


def candidates(
    viewer: Profile,
    *,
    space: Space,
    query: npt.NDArray[np.float64],
    filters: Filters,
    limit: int,
    after: Position | None = None,
) -> list[Found]:
    """The first `limit` people by inner product with `query` (644,), exactly.

    Every row that passes the filters is scored, in float32 over the stored halves: no
    index, no lost match. Ties are broken by id, so that pages never overlap.
    """
    exact = Cast("vector", VectorField(dimensions=STORED_WIDTH))
    rows = eligible(viewer, space=space, filters=filters).annotate(
        distance=MaxInnerProduct(exact, pack_query(query).tolist())
    )
    if after is not None:
        rows = rows.filter(
            Q(distance__gt=after.distance)
            | Q(distance=after.distance, profile_id__gt=after.profile_id)
        )
    ordered = rows.order_by("distance", "profile_id")
    found = ordered.values_list("profile_id", "vector", "distance")[:limit]
    return [
        Found(profile_id, np.asarray(vector, dtype=np.float64), distance)
        for profile_id, vector, distance in found
    ]


def eligible(
    viewer: Profile, *, space: Space, filters: Filters
) -> models.QuerySet[PersonVector]:
    """Vectors of the people that pass every hard filter; count() of it is exact."""
    people: models.QuerySet[Profile] = Profile.objects.visible_to(viewer).aged(
        filters.age_min, filters.age_max, on=timezone.localdate()
    )
    if filters.genders:
        people = people.filter(gender__in=filters.genders)
    if filters.exclude:
        people = people.exclude(pk__in=filters.exclude)
    if filters.radius_km is not None:
        people = _near(people, viewer, filters.radius_km)
    if filters.smokes is False:
        people = people.exclude(smokes=True)
    elif filters.smokes:
        people = people.filter(smokes=True)
    rows = PersonVector.objects.filter(space=space, profile__in=people)
    return _wished(rows, filters)


def seen_by(viewer: Profile) -> frozenset[uuid.UUID]:
    """Of whom the viewer has said anything that stands."""
    said = Feedback.objects.filter(actor=viewer, withdrawn_at=None)
    return frozenset(said.values_list("target_id", flat=True))


def blocked_with(viewer: Profile) -> frozenset[uuid.UUID]:
    """Whom the viewer has blocked, and who has blocked them."""
    either = viewer.avoided.values_list("pk").union(viewer.avoided_by.values_list("pk"))
    return frozenset(pk for (pk,) in either)


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
    """People of whom something was read or corrected after they were indexed."""
    indexed_at = F("photo__owner__vectors__updated_at")
    theirs = {"photo__owner": OuterRef("pk"), "photo__owner__vectors__space": space}
    read = Annotation.objects.filter(**theirs, updated_at__gt=indexed_at)
    corrected = Correction.objects.filter(
        Q(created_at__gt=indexed_at) | Q(withdrawn_at__gt=indexed_at), **theirs
    )
    return Profile.objects.searchable().filter(Exists(read) | Exists(corrected))


def _wished(
    rows: models.QuerySet[PersonVector], filters: Filters
) -> models.QuerySet[PersonVector]:
    threshold = settings.WISH_THRESHOLD
    never = set(filters.never) | ({SMOKING} if filters.smokes is False else set())
    for wish in filters.must:
        rows = rows.filter(**{f"presence__{wish}__gte": threshold})
    for wish in sorted(never):
        # An unknown value is NULL, which no comparison lets pass: it is asked for.
        low = Q(**{f"presence__{wish}__lte": threshold})
        rows = rows.filter(low | ~Q(presence__has_key=wish))
    return rows


def _near(
    people: models.QuerySet[Profile], viewer: Profile, radius_km: float
) -> models.QuerySet[Profile]:
    """People within a great-circle distance; the box lets the index do most of it."""
    if viewer.latitude is None or viewer.longitude is None:
        raise InvalidError(
            "radius_km needs a place: this person has no latitude and longitude.",
            kind="place-unknown",
        )
    boxed = people.filter(_box(viewer.latitude, viewer.longitude, radius_km))
    distance = _haversine_km(viewer.latitude, viewer.longitude)
    return boxed.annotate(distance_km=distance).filter(distance_km__lte=radius_km)


def _box(latitude: float, longitude: float, radius_km: float) -> Q:
    """Bounds that hold the whole circle, across the antimeridian and the poles."""
    reach = radius_km / KM_PER_DEGREE
    within = Q(latitude__range=(latitude - reach, latitude + reach))
    if abs(latitude) + reach >= 90:
        return within  # the circle holds a pole, and with it every longitude
    sine = math.sin(math.radians(reach)) / math.cos(math.radians(latitude))
    width = math.degrees(math.asin(min(1.0, sine)))
    west, east = longitude - width, longitude + width
    around = Q(longitude__range=(west, east))
    if west < -180:
        around |= Q(longitude__gte=west + 360)
    if east > 180:
        around |= Q(longitude__lte=east - 360)
    return within & around


def _haversine_km(latitude: float, longitude: float) -> models.Expression:
    """Great-circle distance to a row's place, in km (Sinnott 1984)."""
    here_lat, here_lon = Radians(Value(latitude)), Radians(Value(longitude))
    lat, lon = Radians(F("latitude")), Radians(F("longitude"))
    chord = Power(Sin((lat - here_lat) / 2), 2) + Cos(here_lat) * Cos(lat) * Power(
        Sin((lon - here_lon) / 2), 2
    )
    angle = ASin(Sqrt(Least(chord, Value(1.0))))
    return models.ExpressionWrapper(
        2 * EARTH_RADIUS_KM * angle, output_field=FloatField()
    )
