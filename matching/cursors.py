"""Where a page ended: signed, and good for the same search only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.core import signing

from matching.selectors import Found, Position
from twinby.errors import InvalidError

SALT = "matching.search"


@dataclass(frozen=True)
class Cursor:
    """The end of a page of the search with this digest, whose taste was learned from
    the labels up to `label`: what is said meanwhile does not shuffle the next page."""

    digest: str
    position: Position
    label: int


def write(last: Found, *, digest: str, label: int) -> str:
    """The cursor after `last`."""
    content = [digest, last.distance, str(last.profile_id), label]
    return signing.dumps(content, salt=SALT, compress=True)


def read(text: str) -> Cursor | None:
    """The cursor, None of an empty text; InvalidError for one that is not ours."""
    if not text:
        return None
    try:
        digest, distance, profile_id, label = signing.loads(text, salt=SALT)
    except (signing.BadSignature, ValueError):
        raise InvalidError(
            "This cursor is not one of ours.", kind="bad-cursor"
        ) from None
    return Cursor(digest, Position(distance, uuid.UUID(profile_id)), label)


def check(cursor: Cursor | None, *, digest: str) -> Position | None:
    """Where to go on; InvalidError for a cursor of another search."""
    if cursor is None:
        return None
    if cursor.digest != digest:
        raise InvalidError(
            "This cursor belongs to another search; start again without it.",
            kind="bad-cursor",
        )
    return cursor.position
