"""The demo's answer as a page shows it: people, bars, and how to go on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from matching.explain import Reason, Wish
from matching.phrases import clear
from matching.search import Match, Page
from matching.wording import named, sentence, subject
from profiles.links import photo_path
from profiles.models import Photo, Profile

MAX_RAISING = 4
MAX_LOWERING = 2
MAX_WISHES = 5
# Bars start in the middle of a hundred units and grow to either side.
MIDDLE = 50.0


@dataclass(frozen=True)
class Tile:
    """A photo to choose, or one that was chosen; `number` counts within its side."""

    photo_id: uuid.UUID
    path: str
    gender: str = ""
    mine: bool = False
    number: int = 0


@dataclass(frozen=True)
class Bar:
    """A labelled amount, and the rectangle that shows it: `left` and `width` of 100."""

    label: str
    amount: float
    left: float
    width: float

    @property
    def raises(self) -> bool:
        return self.amount > 0


@dataclass(frozen=True)
class Card:
    """One person of the answer; `tile` is the photo one may go on searching by."""

    tile: Tile
    about: str
    percent: int
    sentence: str
    bars: list[Bar]


def tile(photo: Photo, viewer: Profile, *, number: int = 0) -> Tile:
    """A photo with a link made for this viewer."""
    return Tile(
        photo_id=photo.pk,
        path=photo_path(photo.pk, viewer_id=viewer.pk),
        gender=photo.owner.gender,
        mine=photo.is_anchor,
        number=number,
    )


def cards(page: Page, viewer: Profile) -> list[Card]:
    """The people of an answer, each with their first photo and strongest reasons."""
    shown = _first_photos([match.profile_id for match in page.matches])
    longest = max((abs(r.amount) for m in page.matches for r in _told(m)), default=1.0)
    return [
        _card(match, tile(shown[match.profile_id], viewer), shown, longest)
        for match in page.matches
        if match.profile_id in shown
    ]


def wish_bars(found: Sequence[Wish]) -> list[Bar]:
    """What was understood: the strongest wishes, then the strongest aversions."""
    wished, averse = clear(found)
    told = wished[:MAX_WISHES] + averse[:MAX_WISHES]
    longest = max((abs(wish.weight) for wish in told), default=1.0)
    return [_bar(named(wish), wish.weight, longest) for wish in told]


def _card(
    match: Match, photo: Tile, shown: dict[uuid.UUID, Photo], longest: float
) -> Card:
    owner = shown[match.profile_id].owner
    return Card(
        tile=photo,
        about=f"{owner.get_gender_display()}, {owner.age()}",
        percent=round(100 * match.ranked.match_score),
        sentence=sentence(match.explanation),
        bars=[_bar(subject(r), r.amount, longest) for r in _told(match)],
    )


def _told(match: Match) -> list[Reason]:
    reasons = match.explanation.reasons
    raising = [reason for reason in reasons if reason.amount > 0][:MAX_RAISING]
    lowering = [reason for reason in reasons if reason.amount < 0][:MAX_LOWERING]
    return raising + lowering


def _bar(label: str, amount: float, longest: float) -> Bar:
    width = MIDDLE * abs(amount) / longest
    return Bar(label, amount, MIDDLE if amount > 0 else MIDDLE - width, width)


def _first_photos(profile_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Photo]:
    photos = Photo.objects.published().filter(owner__in=profile_ids)
    ordered = photos.select_related("owner").order_by("owner_id", "created_at", "pk")
    return {photo.owner_id: photo for photo in ordered.distinct("owner_id")}
