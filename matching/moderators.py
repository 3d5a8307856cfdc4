"""What moderators may look at here: reports, and who matched."""

from __future__ import annotations

from typing import Any

from annotation.moderators import allow

MAY = {"matching": ("view_feedback", "view_match")}


def ensure_permissions(using: str = "default", **_: Any) -> None:
    """Let the group look, once the permissions are there."""
    allow(MAY, using=using)
