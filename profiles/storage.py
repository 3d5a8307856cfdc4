"""Where renditions live: both are written or neither, and they go with their row."""

from __future__ import annotations

import datetime as dt
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.fields.files import FieldFile
from django.utils import timezone

from profiles.ingest import Ingested
from profiles.models import PHOTO_FOLDER, Photo, rendition_paths
from twinby.errors import NotFoundError, UnavailableError

logger = logging.getLogger(__name__)

SWEEP_BATCH = 500
SHARD = re.compile("[0-9a-f]{2}")  # see models.rendition_paths


def write(photo: Photo, new: Ingested) -> None:
    """Store both renditions of a photo; UnavailableError where that fails."""
    try:
        photo.display.save("display", ContentFile(new.display), save=False)
        photo.annotation.save("annotation", ContentFile(new.annotation), save=False)
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        logger.error("A photo could not be stored: %s", type(error).__name__)
        remove([photo.pk])
        raise UnavailableError("Photos cannot be stored now; try again.") from None


def display_bytes(photo: Photo) -> bytes:
    """The display rendition. NotFoundError once it is gone, else UnavailableError."""
    return _whole(photo.display)


def annotation_bytes(photo: Photo) -> bytes:
    """The annotation rendition; the same errors as of `display_bytes`."""
    return _whole(photo.annotation)


def _whole(rendition: FieldFile) -> bytes:
    """Renditions are small: a storage that fails half way fails before any answer."""
    try:
        with rendition.open("rb") as file:
            return bytes(file.read())
    except FileNotFoundError:  # erased between the look-up and now
        raise NotFoundError("There is no such photo.") from None
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        logger.error("A photo could not be read: %s", type(error).__name__)
        raise UnavailableError("Photos cannot be read now; try again.") from None


def remove_on_commit(photo_ids: Iterable[uuid.UUID]) -> None:
    """Remove renditions once their rows are gone for good."""
    doomed = list(photo_ids)
    transaction.on_commit(lambda: remove(doomed))


def remove(photo_ids: Iterable[uuid.UUID]) -> None:
    """Remove renditions, also half-written ones; `sweep` finds what stays behind."""
    for photo_id in photo_ids:
        for path in rendition_paths(photo_id):
            try:
                default_storage.delete(path)
            except Exception as error:  # noqa: BLE001 - the other files must go too
                logger.warning(
                    "A rendition could not be removed: %s", type(error).__name__
                )


def sweep(*, older_than: dt.timedelta) -> int:
    """Remove renditions without a row: of a crash, or of a storage that was down.

    Returns how many photos' files went. Younger files may be of an upload under way.
    """
    horizon = timezone.now() - older_than
    orphans = [
        photo_id for photo_id in _without_row(_stored_ids()) if _old(photo_id, horizon)
    ]
    remove(orphans)
    return len(orphans)


def _stored_ids() -> Iterator[uuid.UUID]:
    """Ids of photos; folders that are none of ours, as "lost+found", stay unopened."""
    for shard in filter(SHARD.fullmatch, _folders(PHOTO_FOLDER)):
        for folder in _folders(f"{PHOTO_FOLDER}/{shard}"):
            with suppress(ValueError):
                yield uuid.UUID(folder)


def _folders(path: str) -> list[str]:
    try:
        return sorted(default_storage.listdir(path)[0])
    except FileNotFoundError:
        return []


def _without_row(stored: Iterator[uuid.UUID]) -> Iterator[uuid.UUID]:
    ids = list(stored)
    for start in range(0, len(ids), SWEEP_BATCH):
        batch = ids[start : start + SWEEP_BATCH]
        known = set(Photo.objects.filter(pk__in=batch).values_list("pk", flat=True))
        yield from (photo_id for photo_id in batch if photo_id not in known)


def _old(photo_id: uuid.UUID, horizon: dt.datetime) -> bool:
    """Whether there are files at all, and all of them are older than `horizon`."""
    paths = [path for path in rendition_paths(photo_id) if default_storage.exists(path)]
    times = [default_storage.get_modified_time(path) for path in paths]
    return bool(times) and max(times) < horizon
