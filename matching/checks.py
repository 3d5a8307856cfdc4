"""System checks: an experiment that is configured is one."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from matching.assignment import configured


@register(Tags.compatibility)
def experiment_is_well_described(**_: Any) -> list[CheckMessage]:
    try:
        configured(settings.EXPERIMENT or "none:none=1")
    except ValueError as error:
        return [
            Error(
                f"TWINBY_EXPERIMENT cannot be understood: {error}.",
                hint='Write "name/person: arm=weight, arm=weight", or name/region.',
                id="matching.E001",
            )
        ]
    return []
