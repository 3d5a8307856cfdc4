"""Photos: taken in, published, withdrawn, deleted."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.dispatch import Signal
from django.utils import timezone

from profiles import privacy, signals, storage
from profiles.ingest import Ingested, IngestError, Limits, ingest
from profiles.models import Photo, PhotoQuerySet, Profile
from profiles.services.people import locked
from twinby.errors import ConflictError, DomainError, ForbiddenError

REASON_LENGTH = 200


class PhotoError(DomainError):
    """The uploaded file cannot become a photo."""

    def __init__(self, error: IngestError) -> None:
        super().__init__(error.message, kind=error.kind)
        self.status = error.status


def add_photo(*, owner: Profile, data: bytes, purpose: Photo.Purpose) -> Photo:
    """Store an upload's renditions and ask for it to be read.

    The same bytes for the same purpose give the photo that is already there, and an
    anchor that is uploaded again is kept for as long as a new one would be. Raises
    PhotoError for a file that is no photo, ForbiddenError without the owner's consent,
    ConflictError when the owner has as many photos as they may, UnavailableError
    without storage. Leaves nothing behind when it raises.
    """
    _check_consent(owner)
    new = _ingest(data)
    known = _existing(owner, purpose, new)
    if known is not None:
        return known
    _check_room(owner, purpose)
    return _store(owner, purpose, new)


def _check_consent(owner: Profile) -> None:
    if not owner.consents:
        raise ForbiddenError(
            "This person has not consented to their photos being analysed.",
            kind="consent-required",
        )


def _ingest(data: bytes) -> Ingested:
    limits = Limits(
        max_bytes=settings.PHOTO_MAX_BYTES, max_pixels=settings.PHOTO_MAX_PIXELS
    )
    try:
        return ingest(data, limits=limits)
    except IngestError as error:
        raise PhotoError(error) from None


@transaction.atomic
def _existing(owner: Profile, purpose: Photo.Purpose, new: Ingested) -> Photo | None:
    """The photo of the same bytes; of an anchor, its time begins anew."""
    photos = Photo.objects.select_for_update(no_key=True)
    photo = photos.filter(owner=owner, purpose=purpose, sha256=new.sha256).first()
    if photo is not None and photo.is_anchor:
        photo.expires_at = _anchor_end()
        photo.save(update_fields=["expires_at", "updated_at"])
    return photo


def _anchor_end() -> dt.datetime:
    return timezone.now() + settings.ANCHOR_LIFETIME


def _check_room(owner: Profile, purpose: Photo.Purpose) -> None:
    most = {
        Photo.Purpose.PROFILE: settings.PHOTOS_PER_PERSON,
        Photo.Purpose.ANCHOR: settings.ANCHORS_PER_PERSON,
    }[purpose]
    if Photo.objects.filter(owner=owner, purpose=purpose).count() >= most:
        raise ConflictError(
            f"A person may have {most} such photos; delete one first.",
            kind="too-many-photos",
        )


def _store(owner: Profile, purpose: Photo.Purpose, new: Ingested) -> Photo:
    """Files first, so that no row is ever without them; no row, no files."""
    photo = Photo(
        owner=owner,
        purpose=purpose,
        sha256=new.sha256,
        dhash=new.dhash,
        width=new.width,
        height=new.height,
    )
    storage.write(photo, new)
    kept: Photo | None = None
    try:
        kept = _insert(photo, new)
    finally:
        if kept is not photo:
            storage.remove([photo.pk])
    return kept


@transaction.atomic
def _insert(photo: Photo, new: Ingested) -> Photo:
    """The photo's row, or the one of the same upload a moment earlier.

    Decoding took its time: under the owner's lock, all that matters is asked again.
    """
    owner, purpose = locked(photo.owner_id, alone=True), Photo.Purpose(photo.purpose)
    _check_consent(owner)
    known = _existing(owner, purpose, new)
    if known is not None:
        return known
    _check_room(owner, purpose)
    if photo.is_anchor:
        photo.expires_at = _anchor_end()
    photo.save(force_insert=True)
    signals.photo_added.send(Photo, photo_id=photo.pk)
    return photo


@transaction.atomic
def approve(photo_id: uuid.UUID, *, source: Photo.ApprovalSource) -> bool:
    """Publish a photo; False if nothing changed.

    A moderator may publish anything, and confirm the gates.
    """
    if source is Photo.ApprovalSource.GATES:
        return bool(approve_by_gates([photo_id]))
    others = Photo.objects.exclude(status=Photo.Status.APPROVED, approval_source=source)
    changed = others.filter(pk=photo_id).update(
        status=Photo.Status.APPROVED,
        approval_source=source,
        status_reason="",
        updated_at=timezone.now(),
    )
    if changed:
        _tell(signals.photo_approved, photo_id)
    return bool(changed)


@transaction.atomic
def approve_by_gates(photo_ids: Collection[uuid.UUID]) -> int:
    """Publish those of the photos that nobody has judged yet; returns how many.

    A moderator may have said no while the model was at work. Two statements for a whole
    batch: a large model reads hundreds of photos a second.
    """
    waiting = Photo.objects.filter(pk__in=photo_ids, status=Photo.Status.PENDING)
    locked_rows = waiting.select_for_update(no_key=True).order_by("pk")
    owners = dict(locked_rows.values_list("pk", "owner_id"))
    Photo.objects.filter(pk__in=owners).update(
        status=Photo.Status.APPROVED,
        approval_source=Photo.ApprovalSource.GATES,
        status_reason="",
        updated_at=timezone.now(),
    )
    for photo_id, profile_id in owners.items():
        signals.photo_approved.send(Photo, photo_id=photo_id, profile_id=profile_id)
    return len(owners)


def reject(photo_id: uuid.UUID, *, reason: str) -> bool:
    """A moderator's no, with the reason; False if it was rejected already."""
    return _withdraw(~Q(status=Photo.Status.REJECTED), photo_id, "rejected", reason)


def quarantine(photo_id: uuid.UUID, *, reason: str) -> bool:
    """A failed gate's no; a moderator may still approve. False if nothing changed.

    It touches only what nobody, or a gate, has judged: people have the last word.
    """
    unjudged = Q(status=Photo.Status.PENDING) | Q(
        status=Photo.Status.APPROVED, approval_source=Photo.ApprovalSource.GATES
    )
    return _withdraw(unjudged, photo_id, "quarantined", reason)


@transaction.atomic
def _withdraw(allowed: Q, photo_id: uuid.UUID, status: str, reason: str) -> bool:
    changed = Photo.objects.filter(allowed, pk=photo_id).update(
        status=Photo.Status(status),
        approval_source="",
        status_reason=reason[:REASON_LENGTH],
        updated_at=timezone.now(),
    )
    if changed:
        _tell(signals.photo_withdrawn, photo_id)
    return bool(changed)


def _tell(news: Signal, photo_id: uuid.UUID) -> None:
    owner_id = Photo.objects.values_list("owner_id", flat=True).get(pk=photo_id)
    news.send(Photo, photo_id=photo_id, profile_id=owner_id)


@transaction.atomic
def delete_photo(photo: Photo) -> None:
    """Delete a photo, its files, and by cascade its readings."""
    photo_id, profile_id = photo.pk, photo.owner_id
    # The photo before its readings, as everybody locks them.
    Photo.objects.select_for_update().filter(pk=photo_id).first()
    storage.remove_on_commit([photo_id])
    privacy.forget_moderation([photo_id])
    photo.delete()
    signals.photo_withdrawn.send(Photo, photo_id=photo_id, profile_id=profile_id)


def expire_anchors(*, now: dt.datetime | None = None) -> int:
    """Delete every anchor past its day; returns how many."""
    due = Photo.objects.filter(
        purpose=Photo.Purpose.ANCHOR, expires_at__lte=now or timezone.now()
    )
    return sum(_delete_one(due, pk) for pk in list(due.values_list("pk", flat=True)))


@transaction.atomic
def _delete_one(photos: PhotoQuerySet, photo_id: uuid.UUID) -> bool:
    """Delete the photo if it is still among these: it may have been uploaded again."""
    photo = photos.select_for_update().filter(pk=photo_id).first()
    if photo is not None:
        delete_photo(photo)
    return photo is not None
