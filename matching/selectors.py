"""Who may be found, and the first of them in order of liking."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db import connection, models
from django.db.models import Q
from django.utils import timezone

from matching.features import pack_query, unpack
from matching.index.base import Circle, Declared, Filter, Hit
from matching.index.conditions import Sql, among, passing
from matching.index.pgvector import PgvectorIndex
from matching.index.vectors import Vectors, read, read_vectors
from matching.models import Feedback, PersonVector, Space
from matching.places import near
from profiles.models import (
    ADULT_AGE,
    OLDEST_AGE,
    Profile,
    years_before,
)
from twinby.errors import InvalidError

SMOKING = "objects.cigarette"
# Whom somebody has blocked, and who has blocked them.
APART = (
    "SELECT to_profile_id FROM profiles_profile_avoided WHERE from_profile_id = %s"
    " UNION ALL"
    " SELECT from_profile_id FROM profiles_profile_avoided WHERE to_profile_id = %s"
)


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
class Found:
    """A candidate with their features (644,) as stored; `distance` is -<x, query>.

    `is_exact` where everybody was read, so that nobody nearer was passed over.
    """

    profile_id: uuid.UUID
    features: npt.NDArray[np.float64]
    distance: float
    is_exact: bool


def candidates(
    viewer: Profile,
    *,
    space: Space,
    query: npt.NDArray[np.float64],
    filters: Filters,
    limit: int,
) -> list[Found]:
    """The first `limit` people by inner product with `query` (644,) who pass.

    Never fewer while there are more. Where many pass, an index finds them, and may pass
    over one of the nearest now and then (decision 16); their distances and their order
    are exact to float32 all the same, and ties go by id. Whoever was passed over is
    found next, once those before them are excluded.
    """
    if viewer.status == Profile.Status.BLOCKED:
        return []  # as in visible_to
    wanted, index = wanted_of(viewer, filters), PgvectorIndex(space)
    exclude = {viewer.pk, *filters.exclude}
    kept: list[Found] = []
    k = limit
    while True:
        hits = index.search(pack_query(query), wanted, k=k, exclude=exclude)
        kept += _shown(viewer, space, filters, hits)
        if len(kept) >= limit or len(hits) < k:
            break
        exclude |= {hit.id for hit in hits}
        k *= 2  # whoever left a moment ago may be many
    return sorted(kept, key=lambda found: (found.distance, found.profile_id))[:limit]


def _shown(
    viewer: Profile, space: Space, filters: Filters, hits: Sequence[Hit]
) -> list[Found]:
    """Of those whom the index found, who may be shown at this very moment."""
    features = still_eligible(
        viewer, space=space, filters=filters, profile_ids=[hit.id for hit in hits]
    )
    return [
        Found(hit.id, features[hit.id], hit.distance, hit.is_exact)
        for hit in hits
        if hit.id in features
    ]


def wanted_of(viewer: Profile, filters: Filters) -> Filter:
    """What `eligible` asks of what people declare and show, as the index is asked."""
    today = timezone.localdate()
    youngest = max(filters.age_min, viewer.sought_age_min)
    oldest = min(filters.age_max, viewer.sought_age_max)
    genders = filters.genders or viewer.seeking
    return Filter(
        client=viewer.client_id,
        genders=tuple(sorted(set(genders) & set(viewer.seeking))),
        seeking=viewer.gender,
        sought_age=viewer.age(on=today),
        born_after=years_before(today, oldest + 1),
        born_until=years_before(today, youngest),
        circle=_circle(viewer, filters.radius_km),
        must=filters.must,
        never=_never(filters),
        threshold=settings.WISH_THRESHOLD,
        smokes=filters.smokes,
    )


def declared(person: Profile) -> Declared:
    """What others filter this person by."""
    return Declared(
        client=person.client_id,
        gender=person.gender,
        seeking=tuple(person.seeking),
        birth_date=person.birth_date,
        sought_age_min=person.sought_age_min,
        sought_age_max=person.sought_age_max,
        smokes=person.smokes,
        latitude=person.latitude,
        longitude=person.longitude,
    )


def still_eligible(
    viewer: Profile,
    *,
    space: Space,
    filters: Filters,
    profile_ids: Collection[uuid.UUID],
) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    """The features (644,) of those of these people who may be shown at this moment.

    The same people as of `eligible`, in a statement that is not composed anew for every
    page: Django takes longer over it than Postgres.
    """
    wanted = wanted_of(viewer, filters)
    ids = [pk for pk in profile_ids if pk not in filters.exclude and pk != viewer.pk]
    if not ids or not wanted.genders or viewer.status == Profile.Status.BLOCKED:
        return {}
    rows = (
        Sql("SELECT profile_id, vector FROM matching_personvector WHERE ")
        + passing(space.pk, wanted.genders, wanted)
        + among(ids)
        + Sql(" AND profile_id IN (")
        + searchable()
        + Sql(f") AND profile_id NOT IN ({APART})", (viewer.pk, viewer.pk))
    )
    return _features(read(rows))


@cache
def searchable() -> Sql:
    """Selects the ids of all who may be found at this moment."""
    return Sql(*Profile.objects.searchable().values("pk").query.sql_with_params())


def eligible(
    viewer: Profile, *, space: Space, filters: Filters
) -> models.QuerySet[PersonVector]:
    """Vectors of the people that pass every hard filter, by the words of Django.

    What the statements of searches are tested and measured against.
    """
    people: models.QuerySet[Profile] = Profile.objects.visible_to(viewer).aged(
        filters.age_min, filters.age_max, on=timezone.localdate()
    )
    if filters.genders:
        people = people.filter(gender__in=filters.genders)
    if filters.exclude:
        people = people.exclude(pk__in=filters.exclude)
    if circle := _circle(viewer, filters.radius_km):
        people = near(people, circle)
    if filters.smokes is False:
        people = people.exclude(smokes=True)
    elif filters.smokes:
        people = people.filter(smokes=True)
    rows = PersonVector.objects.filter(space=space, profile__in=people)
    return _wished(rows, filters)


def features_of(
    profile_ids: Collection[uuid.UUID], *, space: Space
) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    """The features (644,) of those of these people who are in this space."""
    rows = PersonVector.objects.filter(space=space, profile_id__in=profile_ids)
    return _features(read_vectors(rows))


def _features(vectors: Vectors) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    ids, stored = vectors
    return dict(zip(ids, unpack(stored), strict=True))


def seen_by(viewer: Profile) -> frozenset[uuid.UUID]:
    """Of whom the viewer has said anything that stands."""
    said = Feedback.objects.filter(actor=viewer, withdrawn_at=None)
    return frozenset(said.values_list("target_id", flat=True))


def blocked_with(viewer: Profile) -> frozenset[uuid.UUID]:
    """Whom the viewer has blocked, and who has blocked them."""
    with connection.cursor() as cursor:
        cursor.execute(APART, (viewer.pk, viewer.pk))
        return frozenset(pk for (pk,) in cursor.fetchall())


def _wished(
    rows: models.QuerySet[PersonVector], filters: Filters
) -> models.QuerySet[PersonVector]:
    threshold = settings.WISH_THRESHOLD
    for wish in filters.must:
        rows = rows.filter(**{f"presence__{wish}__gte": threshold})
    for wish in _never(filters):
        # An unknown value is NULL, which no comparison lets pass: it is asked for.
        low = Q(**{f"presence__{wish}__lte": threshold})
        rows = rows.filter(low | ~Q(presence__has_key=wish))
    return rows


def _never(filters: Filters) -> tuple[str, ...]:
    """Not smoking is not declaring it, and not being seen with a cigarette."""
    never = set(filters.never) | ({SMOKING} if filters.smokes is False else set())
    return tuple(sorted(never))


def _circle(viewer: Profile, radius_km: float | None) -> Circle | None:
    if radius_km is None:
        return None
    if viewer.latitude is None or viewer.longitude is None:
        raise InvalidError(
            "radius_km needs a place: this person has no latitude and longitude.",
            kind="place-unknown",
        )
    return Circle(viewer.latitude, viewer.longitude, radius_km)
