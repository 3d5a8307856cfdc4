"""What a search found, in its final order: kept, so that pages follow each other.

The stages of ranking look at people beside each other, and at facts that change by the
minute. So a search ranks a window of the best candidates once, and its pages are cut
from that; the next window holds the best of whoever was in none before.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from matching import cache
from twinby.errors import InvalidError

# How long somebody may look at a page before they ask for the next.
KEPT_SECONDS = 1800


@dataclass(frozen=True)
class Placed:
    """A person in their place, what the stages added, and what of it is no reason."""

    profile_id: uuid.UUID
    stages: Mapping[str, float]
    unsaid: frozenset[str]


@dataclass(frozen=True)
class Window:
    """People, best first, and all who were in a window before this one."""

    people: tuple[Placed, ...]
    before: frozenset[uuid.UUID] = frozenset()
    is_last: bool = False

    @property
    def known(self) -> frozenset[uuid.UUID]:
        """Whom the next window leaves out."""
        return self.before | {one.profile_id for one in self.people}


def save(window: Window) -> str:
    """Keep a window for its later pages; returns its name."""
    name = secrets.token_urlsafe(12)
    people = [
        [one.profile_id.hex, dict(one.stages), sorted(one.unsaid)]
        for one in window.people
    ]
    value = [people, [pk.hex for pk in window.before], window.is_last]
    cache.keep(_owner(name), "window", value, seconds=KEPT_SECONDS)
    return name


def load(name: str) -> Window:
    """The window of this name; InvalidError once it is too old."""
    found = cache.kept(_owner(name), "window")
    if found is None:
        raise InvalidError(
            "This cursor is too old; start again without it.", kind="bad-cursor"
        )
    people, before, is_last = found
    placed = tuple(
        Placed(uuid.UUID(pk), stages, frozenset(unsaid))
        for pk, stages, unsaid in people
    )
    return Window(placed, frozenset(map(uuid.UUID, before)), is_last)


def _owner(name: str) -> str:
    return f"window:{name}"
