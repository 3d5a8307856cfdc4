"""Where a page ended: signed, and good for the same search only."""

from __future__ import annotations

from dataclasses import dataclass

from django.core import signing

from twinby.errors import InvalidError

SALT = "matching.search"


@dataclass(frozen=True)
class Cursor:
    """So many people into a window (`matching.windows`) of the search with this digest.

    Its taste was learned from the labels up to `label`: what is said meanwhile does not
    shuffle the next page.
    """

    digest: str
    label: int
    window: str
    offset: int


def write(cursor: Cursor) -> str:
    """The text that goes out."""
    content = [cursor.digest, cursor.label, cursor.window, cursor.offset]
    return signing.dumps(content, salt=SALT, compress=True)


def read(text: str) -> Cursor | None:
    """The cursor, None of an empty text; InvalidError for one that is not ours."""
    if not text:
        return None
    try:
        return Cursor(*signing.loads(text, salt=SALT))
    except (signing.BadSignature, ValueError, TypeError):
        raise InvalidError(
            "This cursor is not one of ours.", kind="bad-cursor"
        ) from None


def check(cursor: Cursor, *, digest: str) -> None:
    """InvalidError for a cursor of another search."""
    if cursor.digest != digest:
        raise InvalidError(
            "This cursor belongs to another search; start again without it.",
            kind="bad-cursor",
        )
