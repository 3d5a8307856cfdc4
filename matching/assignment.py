"""Which arm of the experiment that is configured a person is in."""

from __future__ import annotations

import math
from functools import lru_cache

from django.conf import settings

from matching.experiments import Experiment, Unit
from profiles.models import Profile

# A region is a square of so many degrees: people rarely look further.
REGION_DEGREES = 1.0

configured = lru_cache(maxsize=4)(Experiment.parse)


def arm_of(person: Profile) -> str:
    """ "experiment:arm", the same for ever; empty while nothing is tried out."""
    if not settings.EXPERIMENT:
        return ""
    experiment = configured(settings.EXPERIMENT)
    by_region = experiment.unit is Unit.REGION
    key = region_of(person) if by_region else str(person.pk)
    return f"{experiment.name}:{experiment.arm_of(key)}"


def region_of(person: Profile) -> str:
    """The square in which a person lives; all of unknown place are of one region."""
    if person.latitude is None or person.longitude is None:
        return "unknown"
    square = (person.latitude, person.longitude)
    return ",".join(str(math.floor(degrees / REGION_DEGREES)) for degrees in square)
