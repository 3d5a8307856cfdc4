"""Keeping the index true: people in, people out, one feature space after another."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from django.db import transaction
from django.utils import timezone

from annotation import services as annotation
from matching.features import (
    FeatureSpace,
    Sighting,
    pack,
    person_features,
    person_presence,
)
from matching.models import PersonVector, Space
from matching.population import fit_space, neutral_space
from matching.projection import Projection, untrained
from profiles.models import Photo, Profile

PRESENCE_DECIMALS = 4
INDEX_BATCH = 500


# Seeing -------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def projection_for(width: int) -> Projection:
    """The head for features of this width; untrained until one has been trained."""
    return untrained(width=width)


def sighting(reading: annotation.EffectiveReading, *, model: str) -> Sighting:
    """A reading as the matching core sees it.

    Features of another model than the space's count as unseen: versions never mix.
    """
    if reading.features is None or reading.model != model:
        return Sighting(reading.attributes)
    project = projection_for(len(reading.features))
    return Sighting(reading.attributes, project(reading.features))


def sightings(
    photo_ids: Iterable[uuid.UUID], *, model: str
) -> dict[uuid.UUID, Sighting]:
    """What is seen in each photo that has been read."""
    readings = annotation.effective_readings(photo_ids)
    return {pk: sighting(reading, model=model) for pk, reading in readings.items()}


# Spaces -------------------------------------------------------------------------------


def active_space() -> Space:
    """The space that searches use; a neutral one where none was ever fitted."""
    space = Space.objects.filter(status=Space.Status.ACTIVE).first()
    return space or _found_space()


@transaction.atomic
def _found_space() -> Space:
    neutral = neutral_space(model=annotation.active_version().model)
    space, _ = Space.objects.get_or_create(
        version=neutral.version, defaults={"content": neutral.to_dict()}
    )
    if not Space.objects.filter(status=Space.Status.ACTIVE).exists():
        _activate(space)
    return Space.objects.get(status=Space.Status.ACTIVE)


@lru_cache(maxsize=4)
def _loaded(version: str) -> FeatureSpace:
    return Space.objects.get(version=version).load()


def feature_space(space: Space) -> FeatureSpace:
    """The frozen content of a stored space, kept in memory by its version."""
    return _loaded(space.version)


def fit_feature_space() -> Space:
    """Measure the population anew, index everybody beside the old space, take over.

    Searches go on in the old space until the new one is complete; whoever changes in
    between is indexed in both.
    """
    model = annotation.active_version().model
    seen = sightings(
        Photo.objects.published().values_list("pk", flat=True), model=model
    )
    fitted = fit_space(list(seen.values()), model=model)
    space, _ = Space.objects.get_or_create(
        version=fitted.version,
        defaults={"content": fitted.to_dict(), "photos": len(seen)},
    )
    for batch in _batches(Profile.objects.searchable().values_list("pk", flat=True)):
        index_people(batch, spaces=[space])
    with transaction.atomic():
        _activate(space)
    return space


def _activate(space: Space) -> None:
    now = timezone.now()
    retired = Space.objects.filter(status=Space.Status.ACTIVE).exclude(pk=space.pk)
    PersonVector.objects.filter(space__status=Space.Status.RETIRED).exclude(
        space=space
    ).delete()
    retired.update(status=Space.Status.RETIRED)
    Space.objects.filter(pk=space.pk).update(
        status=Space.Status.ACTIVE, activated_at=now
    )


def _batches(ids: Iterable[uuid.UUID]) -> Iterator[list[uuid.UUID]]:
    everybody = list(ids)
    for start in range(0, len(everybody), INDEX_BATCH):
        yield everybody[start : start + INDEX_BATCH]


# People -------------------------------------------------------------------------------


def index_person(profile_id: uuid.UUID) -> None:
    """Bring one person's vectors up to date, in a space being built as well."""
    active_space()
    live = Space.objects.exclude(status=Space.Status.RETIRED)
    index_people([profile_id], spaces=list(live))


@transaction.atomic
def index_people(profile_ids: Sequence[uuid.UUID], *, spaces: Sequence[Space]) -> None:
    """Write or delete the vectors of these people: who may not be found has none."""
    # The lock makes two messages about one person take turns: the last one sees all.
    locked = Profile.objects.filter(pk__in=profile_ids).order_by("pk")
    list(locked.select_for_update().values_list("pk", flat=True))
    photos: dict[uuid.UUID, list[uuid.UUID]] = {}
    for photo_id, owner_id in (
        Photo.objects.published()
        .filter(owner__in=Profile.objects.searchable().filter(pk__in=profile_ids))
        .order_by("created_at", "pk")
        .values_list("pk", "owner_id")
    ):
        photos.setdefault(owner_id, []).append(photo_id)
    for space in spaces:
        _write(space, profile_ids, photos)


def _write(
    space: Space,
    profile_ids: Sequence[uuid.UUID],
    photos: dict[uuid.UUID, list[uuid.UUID]],
) -> None:
    frame = feature_space(space)
    ids = [photo_id for own in photos.values() for photo_id in own]
    seen = sightings(ids, model=frame.model)
    rows = [
        _row(space, frame, owner_id, [seen[pk] for pk in own if pk in seen])
        for owner_id, own in photos.items()
        if any(pk in seen for pk in own)
    ]
    kept = {row.profile_id for row in rows}
    PersonVector.objects.filter(
        space=space, profile_id__in=set(profile_ids) - kept
    ).delete()
    PersonVector.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["profile", "space"],
        update_fields=["vector", "presence", "photos", "updated_at"],
    )


def _row(
    space: Space,
    frame: FeatureSpace,
    profile_id: uuid.UUID,
    seen: Sequence[Sighting],
) -> PersonVector:
    presence = person_presence([s.attributes for s in seen])
    return PersonVector(
        profile_id=profile_id,
        space=space,
        vector=pack(frame, person_features(frame, seen)).tolist(),
        presence={k: round(p, PRESENCE_DECIMALS) for k, p in presence.items()},
        photos=len(seen),
        updated_at=timezone.now(),
    )
