"""Everything kept about one person, handed over or erased: one protocol, no gaps.

Each app registers what it keeps; erasure itself is `profiles.services.erase_profile`,
whose cascades a test walks.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

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
        "longitude last_active_at consented_at status created_at"
    )
    photos = profile.photos.order_by("created_at").values(
        "id", "purpose", "status", "width", "height", "created_at", "expires_at"
    )
    return {
        **{name: getattr(profile, name) for name in declared.split()},
        "photos": list(photos),
    }
