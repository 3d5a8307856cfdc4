"""Which photos ought to be read: the rows that workers take up."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
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
AFRESH = {"status": Annotation.Status.PENDING, "failure": "", "attempts": 0}


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
    _lock(rows)
    rows.failed().update(**AFRESH)
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
    with unhurried():
        ids = list(missing.values_list("pk", flat=True)[:limit])
        ids += stuck.values_list("photo_id", flat=True)[: limit - len(ids)]
    return len(request(ids).queued)


def unread(
    photos: PhotoQuerySet, version: AnnotatorVersion | None = None
) -> PhotoQuerySet:
    """Those of the photos for which the version has not even been asked."""
    rows = Annotation.objects.filter(photo=OuterRef("pk"), **version_fields(version))
    return photos.filter(~Exists(rows))


@contextmanager
def unhurried() -> Iterator[None]:
    """What goes through a whole base may take longer than a request's statement."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
        yield


def ask_for_all(
    *, older_than: dt.timedelta, limit: int | None, failed: bool = False
) -> Iterator[int]:
    """Queue all photos for the active annotator that it has not read, in chunks.

    What is pending is asked for again, if the last time was longer ago, and what has
    `failed` if wanted. Yields how many photos after each chunk.
    """
    horizon = timezone.now() - older_than
    rows = Annotation.objects.filter(photo=OuterRef("pk"), **version_fields())
    stuck = Q(Exists(rows.pending().filter(updated_at__lte=horizon)))
    again = Q(Exists(rows.failed())) if failed else Q()
    photos = Photo.objects.filter(
        Q(~Exists(rows)) | stuck | again,
        owner__in=Profile.objects.annotatable(),
        created_at__lte=horizon,
    )
    for ids in _chunks(photos, limit):
        yield len(request(ids).queued)


def _chunks(photos: PhotoQuerySet, limit: int | None) -> Iterator[list[uuid.UUID]]:
    """Ids of at most `limit` of the photos, which are gone through once."""
    last, left = uuid.UUID(int=0), limit
    while left is None or left > 0:
        some = photos.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)
        with unhurried():
            ids = list(some[: CHUNK if left is None else min(left, CHUNK)])
        if not ids:
            return
        yield ids
        last, left = ids[-1], None if left is None else left - len(ids)


def ask_again(rows: AnnotationQuerySet, *, limit: int | None) -> Iterator[int]:
    """Have at most `limit` failed rows read as if for the first time; tell nobody.

    Yields how many after each chunk; the rows are gone through once.
    """
    last, left = 0, limit
    while left is None or left > 0:
        some = rows.failed().filter(pk__gt=last).order_by("pk")
        free = some.select_for_update(skip_locked=True, of=("self",))
        size = CHUNK if left is None else min(left, CHUNK)
        with unhurried():
            ids = list(free.values_list("pk", flat=True)[:size])
            Annotation.objects.filter(pk__in=ids).update(
                **AFRESH, updated_at=timezone.now()
            )
        if not ids:
            return
        yield len(ids)
        last, left = ids[-1], None if left is None else left - len(ids)


def add_rows(
    photos: PhotoQuerySet, version: AnnotatorVersion, *, limit: int | None
) -> Iterator[int]:
    """Add pending rows for at most `limit` unread photos, and tell nobody.

    Yields how many after each chunk; the photos are gone through once.
    """
    fields = version_fields(version)
    for ids in _chunks(unread(photos, version), limit):
        _insert(ids, fields)
        yield len(ids)


@transaction.atomic
def _insert(photo_ids: Sequence[uuid.UUID], fields: Mapping[str, str]) -> None:
    """Add a pending row for each of the photos where there is none yet.

    Some may have gone meanwhile, or their people's consent: those that are there are
    kept from going until the rows are. People first, as everybody locks them.

    They differ in their photo only, so that the database can multiply them: of a
    bulk_create, a million rows take Python a quarter of an hour.
    """
    row = Annotation(**fields)
    same = [f for f in row._meta.concrete_fields if f.name not in {"id", "photo"}]
    columns = ", ".join(str(f.column) for f in same)
    values = [f.get_db_prep_save(f.pre_save(row, add=True), connection) for f in same]
    owners = Photo.objects.filter(pk__in=photo_ids).values("owner_id")
    people = Profile.objects.annotatable().filter(pk__in=owners).order_by("pk")
    locked = people.select_for_update(no_key=True).values_list("pk", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO annotation_annotation (photo_id, {columns}) "  # noqa: S608
            f"SELECT id, {', '.join(['%s'] * len(same))} "  # our own columns' names
            "FROM profiles_photo WHERE id = ANY(%s) AND owner_id = ANY(%s) "
            "ORDER BY id FOR KEY SHARE ON CONFLICT DO NOTHING",
            [*values, [*photo_ids], [*locked]],
        )


def _lock(rows: AnnotationQuerySet) -> None:
    """Lock the rows in the order in which everybody does."""
    list(rows.select_for_update().order_by("pk").values_list("pk"))


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
    _lock(rows)
    photo_ids = set(rows.values_list("photo_id", flat=True))
    rows.delete()
    for photo_id in photo_ids:
        tell(photo_id, profile_id)


def tell(photo_id: uuid.UUID, profile_id: uuid.UUID) -> None:
    """Spread the news that what is seen of a photo has changed."""
    signals.photo_annotated.send(Annotation, photo_id=photo_id, profile_id=profile_id)
