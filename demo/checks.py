"""System checks: the demo's page is not for the public."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security)
def demo_page_is_shut(**_: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION or not settings.DEMO_PAGE:
        return []
    return [
        Warning(
            "The demo's page is open: anybody may upload photos, without a login.",
            hint="Leave TWINBY_DEMO_PAGE unset on a server that the public reaches.",
            id="demo.W001",
        )
    ]
