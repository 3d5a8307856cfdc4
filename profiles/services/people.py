"""People: what they declare, their consent, their end."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from profiles import privacy, signals, storage
from profiles.models import ADULT_AGE, OLDEST_AGE, Profile
from twinby.errors import ForbiddenError, InvalidError, NotFoundError

# Two decimals of a degree are 1.1 km: near enough to search, too far to find a door.
COARSE_DECIMALS = 2
# Sent by an app whenever it is opened: no news for anybody.
HEARTBEAT = {"last_active_at"}
CHANGEABLE = frozenset(
    "birth_date gender seeking sought_age_min sought_age_max about smokes latitude "
    "longitude last_active_at status".split()
)


def coarse(degrees: float | None) -> float | None:
    """A coordinate, in degrees, rounded to about a kilometre."""
    return None if degrees is None else round(degrees, COARSE_DECIMALS)


def locked(profile_id: uuid.UUID, *, alone: bool = False) -> Profile:
    """The person, for this transaction to change; NotFoundError once they are erased.

    Rows that refer to the person may still be added by others, unless `alone`.
    """
    people = Profile.objects.select_for_update(no_key=not alone)
    profile = people.filter(pk=profile_id).first()
    if profile is None:
        raise NotFoundError("There is no such person.")
    return profile


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
    profile = locked(profile.pk)
    if "status" in changes and profile.status == Profile.Status.BLOCKED:
        raise ForbiddenError("A moderator has blocked this person.", kind="blocked")
    _apply(profile, changes)
    if consent is not None and consent != profile.consents:
        profile.consented_at = timezone.now() if consent else None
    profile.save()
    if consent is not None or changes.keys() - HEARTBEAT:
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
    # A clock that is fast, or somebody who wants to look active for ever.
    profile.last_active_at = min(profile.last_active_at, timezone.now())
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
    free = Profile.objects.filter(pk=profile.pk).exclude(status=Profile.Status.BLOCKED)
    free.update(status=Profile.Status.BLOCKED, status_unblocked=F("status"))
    signals.profile_changed.send(Profile, profile_id=profile.pk)


@transaction.atomic
def unblock_profile(profile: Profile) -> None:
    """Give a blocked person back the status they had: who had paused stays unseen."""
    Profile.objects.filter(pk=profile.pk, status=Profile.Status.BLOCKED).update(
        status=F("status_unblocked")
    )
    signals.profile_changed.send(Profile, profile_id=profile.pk)


@transaction.atomic
def erase_profile(profile: Profile) -> None:
    """Delete a person, their photos, and by cascade all that was derived from them.

    The lock holds back an upload under way: it comes too late, and leaves nothing.
    """
    profile = locked(profile.pk, alone=True)
    profile_id = profile.pk
    # Photos before their readings, in the order in which everybody locks them.
    photos = profile.photos.select_for_update().order_by("pk")
    photo_ids = list(photos.values_list("pk", flat=True))
    storage.remove_on_commit(photo_ids)
    privacy.forget_moderation([profile_id, *photo_ids])
    profile.delete()
    signals.profile_erased.send(Profile, profile_id=profile_id)
