"""Blocks between two people: neither is shown to the other any more."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from profiles.models import Profile


def avoid(person: Profile, others: Collection[uuid.UUID]) -> None:
    """Keep `person` and these others from each other's eyes; twice does no harm."""
    person.avoided.add(*Profile.objects.filter(pk__in=others))


def stop_avoiding(person: Profile, others: Collection[uuid.UUID]) -> None:
    """Take the person's own blocks back; what the others blocked stays."""
    person.avoided.remove(*Profile.objects.filter(pk__in=others))
