"""The frame in which people are compared at present, and photos as seen in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache

from django.db import transaction
from django.utils import timezone

from annotation import services as annotation
from annotation.schema import SCHEMA_VERSION
from matching.features import VISUAL_WIDTH, FeatureSpace, Sighting
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.projection import Projection, untrained
from twinby.errors import UnavailableError


@lru_cache(maxsize=8)
def projection_for(width: int) -> Projection:
    """The head for features of this width; untrained until one has been trained."""
    return untrained(width=width)


def current_projection() -> str:
    """The version of the head that fits what the active annotator gives."""
    return projection_for(annotation.features_width() or VISUAL_WIDTH).version


def sighting(
    reading: annotation.EffectiveReading, *, model: str, projection: str
) -> Sighting:
    """A reading as the matching core sees it.

    Features of another annotator or head than the space's count as unseen: versions
    never mix.
    """
    if reading.features is None or reading.annotator != model:
        return Sighting(reading.attributes)
    project = projection_for(len(reading.features))
    if project.version != projection:
        return Sighting(reading.attributes)
    return Sighting(reading.attributes, project(reading.features))


def sightings(
    photo_ids: Iterable[uuid.UUID], *, model: str, projection: str
) -> dict[uuid.UUID, Sighting]:
    """What is seen in each photo that has been read, best by the annotator `model`."""
    readings = annotation.effective_readings(photo_ids, annotator=model)
    return {
        pk: sighting(reading, model=model, projection=projection)
        for pk, reading in readings.items()
    }


def sightings_in(
    space: FeatureSpace, photo_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, Sighting]:
    """What is seen in each photo, as this space's annotator and head see it."""
    return sightings(photo_ids, model=space.model, projection=space.projection)


def active_space() -> Space:
    """The space that searches use; a neutral one where none was ever fitted."""
    # Its content is large, and cached by version: see feature_space.
    active = Space.objects.filter(status=Space.Status.ACTIVE).defer("content")
    return active.first() or _found_space()


@transaction.atomic
def _found_space() -> Space:
    neutral = neutral_space(
        model=annotation.active_reader(), projection=current_projection()
    )
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
    """The frozen content of a stored space, kept in memory by its version.

    Raises UnavailableError for one of another attribute schema.
    """
    try:
        return _loaded(space.version)
    except ValueError:
        raise UnavailableError(
            "The attributes have changed, and people are being indexed by them anew.",
            kind="space-outdated",
        ) from None


def live_spaces() -> list[Space]:
    """The active space and those being built, without any of another schema."""
    live = Space.objects.exclude(status=Space.Status.RETIRED).defer("content")
    return list(live.filter(content__schema_version=SCHEMA_VERSION))


def activate(space: Space) -> None:
    """Let searches use this space from now on.

    The one before keeps its vectors for searches under way, until the next change.
    """
    others = Space.objects.exclude(pk=space.pk)
    PersonVector.objects.filter(
        space__in=others.exclude(status=Space.Status.ACTIVE)
    ).delete()
    others.update(status=Space.Status.RETIRED)
    Space.objects.filter(pk=space.pk).update(
        status=Space.Status.ACTIVE, activated_at=timezone.now()
    )


def retire(space: Space) -> None:
    """Give up a space that never took over, with its vectors."""
    if space.status != Space.Status.ACTIVE:
        space.vectors.all().delete()
        Space.objects.filter(pk=space.pk).update(status=Space.Status.RETIRED)
