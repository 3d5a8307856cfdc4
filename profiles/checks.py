"""System checks: photos' links lead to this server, and without anybody listening."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security)
def photo_links_are_private(**_: Any) -> list[CheckMessage]:
    """A signed link that is fetched without TLS can be read and used on the way."""
    if not settings.PRODUCTION or settings.PUBLIC_URL.startswith("https://"):
        return []
    return [
        Warning(
            f"Links to photos begin with {settings.PUBLIC_URL}, which is not https.",
            hint="Set TWINBY_URL to the https address that apps reach this server by.",
            id="profiles.W001",
        )
    ]
