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

from django.core import signing

from matching import cache
from twinby.errors import InvalidError

SALT = "matching.window"
# How long somebody may look at a page before they ask for the next.
KEPT_SECONDS = 1800


@dataclass(frozen=True)
class Placed:
    """A person in their place, with what each stage has added for them."""

    profile_id: uuid.UUID
    stages: Mapping[str, float]


@dataclass(frozen=True)
class Window:
    """People, best first, and all who were in a window before this one."""

    people: tuple[Placed, ...]
    before: tuple[uuid.UUID, ...] = ()
    is_last: bool = False

    @property
    def known(self) -> frozenset[uuid.UUID]:
        """Whom the next window leaves out."""
        return frozenset(self.before) | {one.profile_id for one in self.people}


@dataclass(frozen=True)
class Place:
    """Where a page ended: so many people into a window."""

    window: Window
    offset: int


def save(window: Window) -> str:
    """Keep a window for its later pages; returns its name."""
    name = secrets.token_urlsafe(12)
    people = [[str(one.profile_id), dict(one.stages)] for one in window.people]
    before = [str(pk) for pk in window.before]
    value = [people, before, window.is_last]
    cache.keep(_owner(name), "window", value, seconds=KEPT_SECONDS)
    return name


def cursor(name: str, offset: int, *, digest: str) -> str:
    """A signed pointer into a window, good for the search with this digest only."""
    return signing.dumps([digest, name, offset], salt=SALT, compress=True)


def resolve(given: str, *, digest: str) -> tuple[str, Place]:
    """The window that a cursor points into, and its name.

    Raises InvalidError for a cursor that is not ours, is too old, or was made by
    another search: people, filters, photos or readings that are not the same.
    """
    try:
        made_for, name, offset = signing.loads(given, salt=SALT)
    except (signing.BadSignature, ValueError):
        raise InvalidError(
            "This cursor is not one of ours.", kind="bad-cursor"
        ) from None
    if made_for != digest:
        raise InvalidError(
            "This cursor belongs to another search; start again without it.",
            kind="bad-cursor",
        )
    found = cache.kept(_owner(name), "window")
    if found is None:
        raise InvalidError(
            "This cursor is too old; start again without it.", kind="bad-cursor"
        )
    people, before, is_last = found
    placed = tuple(Placed(uuid.UUID(pk), stages) for pk, stages in people)
    window = Window(placed, tuple(map(uuid.UUID, before)), is_last)
    return name, Place(window, offset)


def _owner(name: str) -> str:
    return f"window:{name}"
