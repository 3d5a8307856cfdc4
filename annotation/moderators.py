"""The group "moderators": who may look at people and photos, and correct readings."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.auth.models import Group, Permission

NAME = "moderators"
# Neither users nor clients: moderators make no moderators, and hold no keys.
MAY = {
    "profiles": ("view_profile", "change_profile", "view_photo", "change_photo"),
    "annotation": (
        "view_annotation",
        "view_correction",
        "add_correction",
        "change_correction",
    ),
}


def ensure_group(using: str = "default", **_: Any) -> None:
    """Make the group with at least these permissions; what was added to it stays."""
    allow(MAY, using=using)


def allow(permissions: Mapping[str, Collection[str]], *, using: str) -> None:
    """Let moderators do these things, by app."""
    group, _created = Group.objects.using(using).get_or_create(name=NAME)
    for app, codenames in permissions.items():
        allowed = Permission.objects.using(using).filter(
            content_type__app_label=app, codename__in=codenames
        )
        group.permissions.add(*allowed)
