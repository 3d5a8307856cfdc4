"""Everything kept about one person, handed over or erased: one protocol, no gaps.

Each app registers what it keeps; erasure itself is `profiles.services.erase_profile`,
whose cascades a test walks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet

from profiles.models import Profile

Exporter = Callable[[uuid.UUID], Any]

_exporters: dict[str, Exporter] = {}


def register(name: str, exporter: Exporter) -> None:
    """Add a part to every export; registering a name twice replaces it."""
    _exporters[name] = exporter


def export(profile_id: uuid.UUID) -> dict[str, Any]:
    """All that is kept about a person, by part, ready for JSON."""
    return {name: _exporters[name](profile_id) for name in sorted(_exporters)}


def export_profile(profile_id: uuid.UUID) -> dict[str, Any]:
    """What the person declared, and their photos' facts."""
    profile = Profile.objects.get(pk=profile_id)
    declared = (
        "birth_date gender seeking sought_age_min sought_age_max about smokes latitude "
        "longitude last_active_at consented_at status status_unblocked synthetic "
        "created_at updated_at"
    )
    photos = profile.photos.order_by("created_at").values(
        *"id purpose status approval_source status_reason sha256 dhash width height "
        "created_at updated_at expires_at".split()
    )
    return {
        "id": profile.pk,
        "client_id": profile.client_id,
        **{name: getattr(profile, name) for name in declared.split()},
        "avoided": list(profile.avoided.order_by("pk").values_list("pk", flat=True)),
        "photos": [{**photo, "dhash": str(photo["dhash"])} for photo in photos],
        "moderation": _moderation(profile),
    }


def _moderation(profile: Profile) -> list[dict[str, Any]]:
    """What moderators did with the person and their photos; not who they were."""
    photo_ids = profile.photos.values_list("pk", flat=True)
    entries = _entries([profile.pk, *photo_ids]).order_by("action_time")
    kept = entries.values("object_id", "action_time", "change_message")
    return [dict(entry) for entry in kept]


def forget_moderation(object_ids: Iterable[uuid.UUID]) -> None:
    """Delete the admin's history of these people or photos: it holds free text, and
    refers to them by no foreign key that a cascade could follow."""
    _entries(object_ids).delete()


def _entries(object_ids: Iterable[uuid.UUID]) -> QuerySet[LogEntry]:
    return LogEntry.objects.filter(object_id__in=[str(pk) for pk in object_ids])
