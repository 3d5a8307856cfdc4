"""What people say about photos, and how much each saying counts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class LabelKind(StrEnum):
    """How somebody came to like a person, or not."""

    LIKE = "like"
    SUPER_LIKE = "super_like"
    PASS = "pass"  # noqa: S105 - no password
    ANCHOR_LIKE = "anchor_like"
    ANCHOR_DISLIKE = "anchor_dislike"

    @property
    def liked(self) -> bool:
        return self not in {LabelKind.PASS, LabelKind.ANCHOR_DISLIKE}


# An anchor is a photo chosen to say what one means. Dislikes and passes are then
# shared by DISLIKE_SHARE. docs/ranking.md has what a pass is worth on real ratings.
WEIGHTS: Final[Mapping[LabelKind, float]] = {
    LabelKind.LIKE: 1.0,
    LabelKind.SUPER_LIKE: 2.0,
    LabelKind.PASS: 0.5,
    LabelKind.ANCHOR_LIKE: 1.0,
    LabelKind.ANCHOR_DISLIKE: 1.0,
}
HALF_LIFE_DAYS: Final = 365.0


def weight(
    kind: LabelKind, age_days: float, *, half_life_days: float = HALF_LIFE_DAYS
) -> float:
    """What a label of this age counts: half as much with every half-life.

    A clock that is behind makes nothing count more. ValueError for no half-life.
    """
    if not half_life_days > 0:
        raise ValueError("a half-life is above 0 days")
    decay: float = 0.5 ** (max(age_days, 0.0) / half_life_days)
    return WEIGHTS[kind] * decay
