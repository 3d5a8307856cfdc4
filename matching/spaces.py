"""The frame in which people are compared at present, and photos as seen in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache

from django.db import transaction
from django.utils import timezone

from annotation import services as annotation
from matching.features import FeatureSpace, Sighting
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.projection import Projection, untrained


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
        activate(space)
    return Space.objects.get(status=Space.Status.ACTIVE)


@lru_cache(maxsize=4)
def _loaded(version: str) -> FeatureSpace:
    return Space.objects.get(version=version).load()


def feature_space(space: Space) -> FeatureSpace:
    """The frozen content of a stored space, kept in memory by its version."""
    return _loaded(space.version)


def activate(space: Space) -> None:
    """Let searches use this space from now on; the one before is kept as a way back."""
    now = timezone.now()
    retired = Space.objects.filter(status=Space.Status.ACTIVE).exclude(pk=space.pk)
    PersonVector.objects.filter(space__status=Space.Status.RETIRED).exclude(
        space=space
    ).delete()
    retired.update(status=Space.Status.RETIRED)
    Space.objects.filter(pk=space.pk).update(
        status=Space.Status.ACTIVE, activated_at=now
    )
