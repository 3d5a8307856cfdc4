"""System checks: what must not be true of a running twinby."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from annotation.backends import BACKENDS
from annotation.backends.weights import metadata


@register(Tags.compatibility)
def annotator_is_known(**_: Any) -> list[CheckMessage]:
    if settings.ANNOTATOR in BACKENDS:
        return []
    return [
        Error(
            f"TWINBY_ANNOTATOR is {settings.ANNOTATOR!r}, which is no annotator.",
            hint=f"Choose one of: {', '.join(sorted(BACKENDS))}.",
            id="annotation.E001",
        )
    ]


@register(Tags.security)
def fake_annotator_stays_in_tests(**_: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION or settings.ANNOTATOR != "fake":
        return []
    return [
        Error(
            "The fake annotator looks at no photo; production must not use it.",
            hint="Set TWINBY_ANNOTATOR=small or to a Vision-Language Model.",
            id="annotation.E002",
        )
    ]


@register(Tags.security)
def research_weights_are_a_choice(**_: Any) -> list[CheckMessage]:
    active = settings.PRODUCTION and settings.ANNOTATOR == "small"
    if not active or settings.ACCEPT_RESEARCH_WEIGHTS:
        return []
    if not metadata().get("research_data"):
        return []
    return [
        Warning(
            "The embedded annotator's weights were trained on data for research only.",
            hint="Retrain on your own data, use another annotator, or set "
            "TWINBY_ACCEPT_RESEARCH_WEIGHTS=true if your use is covered.",
            id="annotation.W001",
        )
    ]
