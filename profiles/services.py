"""What can be done with people and their photos. Services own the transactions."""

from __future__ import annotations

import datetime as dt
import logging
import secrets
import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.core.files.base import ContentFile
from django.db import IntegrityError, transaction
from django.utils import timezone

from profiles import signals
from profiles.ingest import Ingested, IngestError, Limits, ingest
from profiles.models import ADULT_AGE, OLDEST_AGE, Client, Photo, Profile
from twinby.errors import ConflictError, DomainError, ForbiddenError, InvalidError

logger = logging.getLogger(__name__)

# Two decimals of a degree are 1.1 km: near enough to search, too far to find a door.
COARSE_DECIMALS = 2
CHANGEABLE = frozenset(
    "birth_date gender seeking sought_age_min sought_age_max about smokes latitude "
    "longitude last_active_at status".split()
)


class CredentialsError(DomainError):
    """Unknown client, or not its secret: which of the two is not said."""

    status = 401
    kind = "invalid-credentials"


class PhotoError(DomainError):
    """The uploaded file cannot become a photo."""

    kind = "invalid-photo"

    def __init__(self, error: IngestError) -> None:
        super().__init__(error.message, kind=error.kind)
        self.status = error.status  # type: ignore[misc]


# Clients ------------------------------------------------------------------------------


def create_client(name: str) -> tuple[Client, str]:
    """A new client and its secret, which is shown once and stored only as a hash."""
    secret = secrets.token_urlsafe(32)
    client = Client(name=name, secret_hash=make_password(secret))
    client.full_clean()
    client.save()
    return client, secret


def authenticate_client(*, client_id: uuid.UUID, secret: str) -> Client:
    """The active client with this secret; CredentialsError otherwise."""
    client = Client.objects.filter(pk=client_id, active=True).first()
    # An unknown client costs as much time as a wrong secret: nothing can be probed.
    known = check_password(secret, client.secret_hash if client else make_password(""))
    if client is None or not known:
        raise CredentialsError("The client id or its secret is wrong.")
    return client


# People -------------------------------------------------------------------------------


def coarse(degrees: float | None) -> float | None:
    """A coordinate, in degrees, rounded to about a kilometre."""
    return None if degrees is None else round(degrees, COARSE_DECIMALS)


@transaction.atomic
def create_profile(
    *, client_id: uuid.UUID, consent: bool, synthetic: bool = False, **fields: Any
) -> Profile:
    """A new person. Raises InvalidError for what cannot be, a child above all."""
    profile = Profile(client_id=client_id, synthetic=synthetic)
    _apply(profile, fields)
    profile.consented_at = timezone.now() if consent else None
    profile.save()
    signals.profile_changed.send(Profile, profile_id=profile.pk)
    return profile


@transaction.atomic
def update_profile(
    profile: Profile, *, consent: bool | None = None, **changes: Any
) -> Profile:
    """Change declared fields; giving or withdrawing consent takes effect at once."""
    profile = Profile.objects.select_for_update().get(pk=profile.pk)
    if "status" in changes and profile.status == Profile.Status.BLOCKED:
        raise ForbiddenError("A moderator has blocked this person.", kind="blocked")
    _apply(profile, changes)
    if consent is not None and consent != profile.consents:
        profile.consented_at = timezone.now() if consent else None
    profile.save()
    signals.profile_changed.send(Profile, profile_id=profile.pk)
    return profile


def _apply(profile: Profile, fields: dict[str, Any]) -> None:
    unknown = fields.keys() - CHANGEABLE
    if unknown:
        raise InvalidError(f"Unknown fields: {', '.join(sorted(unknown))}.")
    for name, value in fields.items():
        setattr(profile, name, value)
    profile.latitude = coarse(profile.latitude)
    profile.longitude = coarse(profile.longitude)
    _check_whole(profile)


def _check_whole(profile: Profile) -> None:
    """What no single field can know; the database's constraints say it again."""
    if not ADULT_AGE <= profile.age() <= OLDEST_AGE:
        raise InvalidError(
            f"A person must be {ADULT_AGE} to {OLDEST_AGE} years old.", kind="not-adult"
        )
    if profile.sought_age_min > profile.sought_age_max:
        raise InvalidError("sought_age_min must not exceed sought_age_max.")
    if (profile.latitude is None) != (profile.longitude is None):
        raise InvalidError("latitude and longitude go together.")


@transaction.atomic
def block_profile(profile: Profile) -> None:
    """Take a person out of every search until a moderator lets them back."""
    _set_status(profile, Profile.Status.BLOCKED)


@transaction.atomic
def unblock_profile(profile: Profile) -> None:
    """Let a blocked person be found again."""
    _set_status(profile, Profile.Status.ACTIVE)


def _set_status(profile: Profile, status: Profile.Status) -> None:
    Profile.objects.filter(pk=profile.pk).update(status=status)
    signals.profile_changed.send(Profile, profile_id=profile.pk)


@transaction.atomic
def erase_profile(profile: Profile) -> None:
    """Delete a person, their photos, and by cascade all that was derived from them."""
    _delete_files_on_commit(profile.photos.all())
    profile_id = profile.pk
    profile.delete()
    signals.profile_erased.send(Profile, profile_id=profile_id)


# Photos -------------------------------------------------------------------------------


def add_photo(*, owner: Profile, data: bytes, purpose: Photo.Purpose) -> Photo:
    """Store an upload's renditions and ask for it to be read.

    The same bytes for the same purpose give the photo that is already there. Raises
    PhotoError for a file that is no photo, ForbiddenError without the owner's consent,
    ConflictError when the owner has as many photos as they may. Leaves nothing behind
    when it raises.
    """
    if not owner.consents:
        raise ForbiddenError(
            "This person has not consented to their photos being analysed.",
            kind="consent-required",
        )
    ingested = _ingest(data)
    existing = _existing(owner, purpose, ingested)
    if existing is not None:
        return existing
    _check_room(owner, purpose)
    return _store(owner, purpose, ingested)


def _ingest(data: bytes) -> Ingested:
    limits = Limits(
        max_bytes=settings.PHOTO_MAX_BYTES, max_pixels=settings.PHOTO_MAX_PIXELS
    )
    try:
        return ingest(data, limits=limits)
    except IngestError as error:
        raise PhotoError(error) from None


def _existing(owner: Profile, purpose: Photo.Purpose, new: Ingested) -> Photo | None:
    return Photo.objects.filter(owner=owner, purpose=purpose, sha256=new.sha256).first()


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
    photo = Photo(
        owner=owner,
        purpose=purpose,
        sha256=new.sha256,
        dhash=new.dhash,
        width=new.width,
        height=new.height,
    )
    if purpose is Photo.Purpose.ANCHOR:
        photo.expires_at = timezone.now() + settings.ANCHOR_LIFETIME
    try:
        photo.display.save("display", ContentFile(new.display), save=False)
        photo.annotation.save("annotation", ContentFile(new.annotation), save=False)
        with transaction.atomic():
            photo.save(force_insert=True)
            signals.photo_added.send(Photo, photo_id=photo.pk)
    except IntegrityError:
        _delete_files([photo])
        existing = _existing(owner, purpose, new)  # the same upload, a moment earlier
        if existing is None:
            raise
        return existing
    except BaseException:
        _delete_files([photo])
        raise
    return photo


@transaction.atomic
def approve(photo_id: uuid.UUID, *, source: Photo.ApprovalSource) -> bool:
    """Publish a photo; False if it was approved already. Only from a live state."""
    changed = (
        Photo.objects.filter(pk=photo_id)
        .exclude(status=Photo.Status.APPROVED)
        .update(status=Photo.Status.APPROVED, approval_source=source, status_reason="")
    )
    if changed:
        photo = Photo.objects.only("owner_id").get(pk=photo_id)
        signals.photo_approved.send(Photo, photo_id=photo_id, profile_id=photo.owner_id)
    return bool(changed)


def reject(photo_id: uuid.UUID, *, reason: str) -> bool:
    """A moderator's no, with the reason; False if it was rejected already."""
    return _withdraw(photo_id, Photo.Status.REJECTED, reason)


def quarantine(photo_id: uuid.UUID, *, reason: str) -> bool:
    """A failed gate's no; a moderator may still approve. False if already so."""
    return _withdraw(photo_id, Photo.Status.QUARANTINED, reason)


@transaction.atomic
def _withdraw(photo_id: uuid.UUID, status: Photo.Status, reason: str) -> bool:
    changed = (
        Photo.objects.filter(pk=photo_id)
        .exclude(status=status)
        .update(status=status, approval_source="", status_reason=reason[:200])
    )
    if changed:
        photo = Photo.objects.only("owner_id").get(pk=photo_id)
        signals.photo_withdrawn.send(
            Photo, photo_id=photo_id, profile_id=photo.owner_id
        )
    return bool(changed)


@transaction.atomic
def delete_photo(photo: Photo) -> None:
    """Delete a photo, its files, and by cascade its readings."""
    photo_id, profile_id = photo.pk, photo.owner_id
    _delete_files_on_commit([photo])
    photo.delete()
    signals.photo_withdrawn.send(Photo, photo_id=photo_id, profile_id=profile_id)


def expire_anchors(*, now: dt.datetime | None = None) -> int:
    """Delete every anchor past its day; returns how many."""
    due = Photo.objects.filter(
        purpose=Photo.Purpose.ANCHOR, expires_at__lte=now or timezone.now()
    )
    photos = list(due)
    for photo in photos:
        delete_photo(photo)
    return len(photos)


def _delete_files_on_commit(photos: Iterable[Photo]) -> None:
    doomed = list(photos)
    transaction.on_commit(lambda: _delete_files(doomed))


def _delete_files(photos: Iterable[Photo]) -> None:
    for photo in photos:
        for file in photo.files():
            if not file.name:
                continue
            try:
                file.storage.delete(file.name)
            except OSError:
                logger.warning("A rendition of a deleted photo could not be removed")
