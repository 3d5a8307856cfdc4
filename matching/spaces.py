"""The frame in which people are compared at present, and photos as seen in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import numpy as np
from django.db import connection, transaction
from django.utils import timezone

from annotation import services as annotation
from annotation.schema import SCHEMA_VERSION
from matching import heads
from matching.features import VISUAL_WIDTH, FeatureSpace, Sighting
from matching.models import PersonVector, Space
from matching.population import neutral_space
from matching.signals import space_activated
from twinby.errors import ConflictError, UnavailableError

# Its content is large, and cached by version: see feature_space.
ACTIVE: Final = """
SELECT id, version, status, created_at, activated_at FROM matching_space
WHERE status = 'active'
"""


def current_projection() -> str:
    """The version of what projects what the active annotator gives."""
    width = annotation.features_width() or VISUAL_WIDTH
    return heads.current(annotation.active_version().name, width=width)


def sightings(
    photo_ids: Iterable[uuid.UUID], *, model: str, projection: str
) -> dict[uuid.UUID, Sighting]:
    """What is seen in each photo that has been read, best by the annotator `model`.

    Features of another annotator than the space's count as unseen: versions never mix.
    """
    readings = annotation.effective_readings(photo_ids, annotator=model)
    if not readings:
        return {}
    project = heads.projection(projection)
    features = {
        pk: reading.features
        for pk, reading in readings.items()
        if reading.features is not None
        and reading.annotator == model
        and len(reading.features) == project.width
    }
    embeddings = project(np.stack([*features.values()])) if features else ()
    seen = dict(zip(features, embeddings, strict=True))
    return {
        pk: Sighting(reading.attributes, seen.get(pk))
        for pk, reading in readings.items()
    }


def sightings_in(
    space: FeatureSpace, photo_ids: Iterable[uuid.UUID]
) -> dict[uuid.UUID, Sighting]:
    """What is seen in each photo, as this space's annotator and head see it."""
    return sightings(photo_ids, model=space.model, projection=space.projection)


def active_space() -> Space:
    """The space that searches use; a neutral one where none was ever fitted."""
    return next(iter(Space.objects.raw(ACTIVE)), None) or _found_space()


@transaction.atomic
def _found_space() -> Space:
    neutral = neutral_space(
        model=annotation.active_reader(), projection=current_projection()
    )
    space, _ = Space.objects.get_or_create(
        version=neutral.version, defaults={"content": neutral.to_dict()}
    )
    _locked_statuses()  # whoever takes over at this moment comes first
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
    """The active space and those being built, without any of another schema.

    One that is being built by a head which cannot be loaded here hinders nobody: who
    is missing from it is found once it is active.
    """
    live = Space.objects.exclude(status=Space.Status.RETIRED).defer("content", "sketch")
    return [
        space
        for space in live.filter(content__schema_version=SCHEMA_VERSION)
        if space.status == Space.Status.ACTIVE
        or heads.is_loadable(feature_space(space).projection)
    ]


def activate(space: Space) -> None:
    """Let searches use this space from now on, within a transaction.

    The one before keeps its vectors for searches under way, until the next change.
    Raises ConflictError if another has taken over since this one was begun.
    """
    with connection.cursor() as cursor:  # the vectors that go may be millions
        cursor.execute("SET LOCAL statement_timeout = 0")
    if _locked_statuses()[space.pk] == Space.Status.RETIRED:
        raise ConflictError(
            "Another feature space took over while this one was built; start again."
        )
    others = Space.objects.exclude(pk=space.pk)
    PersonVector.objects.filter(
        space__in=others.exclude(status=Space.Status.ACTIVE)
    ).delete()
    others.update(status=Space.Status.RETIRED)
    Space.objects.filter(pk=space.pk).update(
        status=Space.Status.ACTIVE, activated_at=timezone.now()
    )
    space_activated.send(Space, space_id=space.pk)


def _locked_statuses() -> dict[int, str]:
    """The status of every space, which nobody else changes in this transaction."""
    everything = Space.objects.select_for_update(no_key=True).order_by("pk")
    return dict(everything.values_list("pk", "status"))


def retire(space: Space) -> None:
    """Give up a space that never took over, with its vectors."""
    if space.status != Space.Status.ACTIVE:
        space.vectors.all().delete()
        Space.objects.filter(pk=space.pk).update(status=Space.Status.RETIRED)
