"""Which photos ought to be read: the rows that workers take up."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from annotation import signals
from annotation.backends import annotator_version
from annotation.backends.base import AnnotatorVersion
from annotation.models import Annotation, AnnotationQuerySet
from annotation.schema import SCHEMA_VERSION
from profiles.models import Photo, PhotoQuerySet, Profile

CHUNK = 2_000


@dataclass(frozen=True)
class Requested:
    """What became of a request to read photos."""

    queued: list[uuid.UUID]
    done: list[uuid.UUID]
    unknown: list[uuid.UUID]


def active_version() -> AnnotatorVersion:
    """The version whose readings count at present; loads no model."""
    return annotator_version()


def version_fields(version: AnnotatorVersion | None = None) -> dict[str, str]:
    """The columns of `Annotation` that name a version, the active one by default."""
    version = version or active_version()
    return {
        "backend": version.backend,
        "model": version.model,
        "prompt_version": version.prompt,
        "schema_version": SCHEMA_VERSION,
    }


def current_readings(annotator: str = "") -> AnnotationQuerySet:
    """What the active version has read, and the one named `annotator` beside it."""
    wanted = Q(**version_fields())
    if annotator:
        wanted |= Q(**version_fields(AnnotatorVersion.of_name(annotator)))
    return Annotation.objects.done().filter(wanted)


@transaction.atomic
def request(photo_ids: Collection[uuid.UUID]) -> Requested:
    """Queue those photos for the active annotator that it has not read.

    Photos of people without consent count as unknown. A failed one is tried again.
    """
    known = set(
        Photo.objects.filter(
            pk__in=photo_ids, owner__in=Profile.objects.annotatable()
        ).values_list("pk", flat=True)
    )
    fields = version_fields()
    _insert(sorted(known), fields)
    rows = Annotation.objects.filter(photo_id__in=known, **fields)
    rows.filter(status=Annotation.Status.FAILED).update(
        status=Annotation.Status.PENDING, failure="", attempts=0
    )
    pending = dict(rows.pending().order_by("pk").values_list("pk", "photo_id"))
    if pending:
        rows.pending().update(updated_at=timezone.now())  # the sweep's turn is later
        signals.annotation_requested.send(Annotation, annotation_ids=list(pending))
    queued = set(pending.values())
    return Requested(
        queued=[pk for pk in photo_ids if pk in queued],
        done=[pk for pk in photo_ids if pk in known - queued],
        unknown=[pk for pk in photo_ids if pk not in known],
    )


def sweep(*, older_than: dt.timedelta, limit: int) -> int:
    """Do what a lost message left undone; returns how many photos are asked for.

    Photos never read or stuck are asked for, the oldest first; readings without consent
    are forgotten.
    """
    for profile_id in _unconsented():
        forget(profile_id)
    horizon = timezone.now() - older_than
    photos = Photo.objects.filter(owner__in=Profile.objects.annotatable())
    missing = unread(photos).filter(created_at__lte=horizon).order_by("created_at")
    stuck = (
        Annotation.objects.pending()
        .filter(photo__in=photos, updated_at__lte=horizon, **version_fields())
        .order_by("updated_at")
    )
    ids = list(missing.values_list("pk", flat=True)[:limit])
    ids += stuck.values_list("photo_id", flat=True)[: limit - len(ids)]
    return len(request(ids).queued)


def unread(
    photos: PhotoQuerySet, version: AnnotatorVersion | None = None
) -> PhotoQuerySet:
    """Those of the photos for which the version has not even been asked."""
    rows = Annotation.objects.filter(photo=OuterRef("pk"), **version_fields(version))
    return photos.filter(~Exists(rows))


def add_rows(
    photos: PhotoQuerySet, version: AnnotatorVersion, *, limit: int
) -> Iterator[int]:
    """Add pending rows for at most `limit` unread photos, and tell nobody.

    Yields how many after each chunk; the photos are gone through once.
    """
    fields, last = version_fields(version), uuid.UUID(int=0)
    while limit > 0:
        some = unread(photos, version).filter(pk__gt=last).order_by("pk")
        ids = list(some.values_list("pk", flat=True)[: min(limit, CHUNK)])
        if not ids:
            return
        _insert(ids, fields)
        limit, last = limit - len(ids), ids[-1]
        yield len(ids)


def _insert(photo_ids: Sequence[uuid.UUID], fields: Mapping[str, str]) -> None:
    """Add a pending row for each of the photos where there is none yet.

    They differ in their photo only, so that the database can multiply them: of a
    bulk_create, a million rows take Python a quarter of an hour.
    """
    row = Annotation(**fields)
    same = [f for f in row._meta.concrete_fields if f.name not in {"id", "photo"}]
    columns = ", ".join(str(f.column) for f in same)
    values = [f.get_db_prep_save(f.pre_save(row, add=True), connection) for f in same]
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {row._meta.db_table} (photo_id, {columns}) "
            f"SELECT unnest(%s::uuid[]), {', '.join(['%s'] * len(same))} "
            "ON CONFLICT DO NOTHING",
            [[*photo_ids], *values],
        )


def follow_consent(profile_id: uuid.UUID) -> None:
    """Have somebody's photos read who consents; forget what was read of who doesn't."""
    profile = Profile.objects.filter(pk=profile_id).first()
    if profile is None:
        return
    if profile.consents:
        own = unread(Photo.objects.filter(owner=profile))
        request(list(own.values_list("pk", flat=True)))
    else:
        forget(profile.pk)


def _unconsented() -> list[uuid.UUID]:
    """People whose readings a lost message left behind when consent was withdrawn."""
    people = Profile.objects.filter(
        consented_at__isnull=True, photos__annotations__isnull=False
    )
    return list(people.values_list("pk", flat=True).distinct())


@transaction.atomic
def forget(profile_id: uuid.UUID) -> None:
    """Drop every reading of a person who no longer consents to being read."""
    rows = Annotation.objects.filter(photo__owner_id=profile_id)
    photo_ids = set(rows.values_list("photo_id", flat=True))
    rows.delete()
    for photo_id in photo_ids:
        tell(photo_id, profile_id)


def tell(photo_id: uuid.UUID, profile_id: uuid.UUID) -> None:
    """Spread the news that what is seen of a photo has changed."""
    signals.photo_annotated.send(Annotation, photo_id=photo_id, profile_id=profile_id)
