"""Where renditions live: both are written or neither, and they go with their row."""

from __future__ import annotations

import datetime as dt
import logging
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

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
# Where the files of so many photos cannot be removed, those of the others cannot.
SWEEP_FAILURES = 20
SHARD = re.compile("[0-9a-f]{2}")  # see models.rendition_paths


def write(photo: Photo, new: Ingested) -> None:
    """Store both renditions of a photo; UnavailableError where that fails."""
    try:
        photo.display.save("display", ContentFile(new.display), save=False)
        photo.annotation.save("annotation", ContentFile(new.annotation), save=False)
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        logger.error("A photo could not be stored: %s", type(error).__name__)
        begun = 2 if photo.display else 1  # it has a name once it is stored
        _delete(rendition_paths(photo.pk)[:begun])
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
    """Remove renditions, also half-written ones, until the storage fails at one.

    Somebody waits, and every other might take as long: `sweep` finds what stays behind.
    """
    _delete(path for photo_id in photo_ids for path in rendition_paths(photo_id))


def _delete(paths: Iterable[str]) -> None:
    try:
        for path in paths:
            default_storage.delete(path)
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        logger.warning("A rendition could not be removed: %s", type(error).__name__)


def sweep(*, older_than: dt.timedelta) -> int:
    """Remove renditions without a row: of a crash, or of a storage that was down.

    Returns how many photos' files went. Younger files may be of an upload under way. It
    goes on where those of a photo cannot be removed, but not for ever.
    """
    horizon = timezone.now() - older_than
    gone, failures = 0, Counter[str]()
    for photo_id in _without_row(_stored_ids()):
        try:
            gone += _remove_old(photo_id, horizon)
        except Exception as error:  # noqa: BLE001 - every storage has errors of its own
            failures[type(error).__name__] += 1
        if failures.total() == SWEEP_FAILURES:
            break
    if failures:
        logger.warning("Renditions could not be removed: %s", dict(failures))
    return gone


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
    """Those that no row has, a batch after the other: there may be tens of millions."""
    while batch := list(islice(stored, SWEEP_BATCH)):
        known = set(Photo.objects.filter(pk__in=batch).values_list("pk", flat=True))
        yield from (photo_id for photo_id in batch if photo_id not in known)


def _remove_old(photo_id: uuid.UUID, horizon: dt.datetime) -> bool:
    """Remove a photo's files, all of which must be older than `horizon`; False if not,
    or if there are none."""
    paths = [path for path in rendition_paths(photo_id) if default_storage.exists(path)]
    times = [default_storage.get_modified_time(path) for path in paths]
    if not times or max(times) >= horizon:
        return False
    for path in paths:
        default_storage.delete(path)
    return True
