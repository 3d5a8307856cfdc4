"""From a taste to pages of people: windows of candidates, ranked, cut into pages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from django.conf import settings
from django.utils import timezone

from matching import cursors, selectors, standing, windows
from matching.cursors import Cursor
from matching.models import Space
from matching.preference import LinearPreference
from matching.ranking.base import Calibrate, Candidate, Ranked, rank
from matching.ranking.stages import Weights, build
from matching.selectors import Filters, Found
from matching.windows import Placed, Window
from profiles.models import Profile

# So many candidates are ranked beside each other: more reach further for people who
# would like one back, and cost more.
WINDOW: Final = 200


@dataclass(frozen=True, eq=False)
class Asked:
    """Whom to find: what all pages of one search have in common.

    `digest` is of the same search only, and `label` the moment that its taste is of.
    """

    viewer: Profile
    space: Space
    preference: LinearPreference
    filters: Filters
    calibrate: Calibrate
    limit: int
    digest: str
    label: int


@dataclass(frozen=True, eq=False)
class _Place:
    """So many people into a window; `name` is what it is kept by, if it is.

    `fresh` are those that were ranked just now, and need no second look.
    """

    window: Window
    name: str = ""
    offset: int = 0
    fresh: Mapping[uuid.UUID, Ranked] | None = None

    @property
    def is_at_its_end(self) -> bool:
        return self.offset == len(self.window.people)

    @property
    def is_the_end(self) -> bool:
        return self.is_at_its_end and self.window.is_last


def page(asked: Asked, cursor: Cursor | None) -> tuple[list[Ranked], str | None]:
    """The page after the cursor, and the next one's cursor if there is anybody left.

    Never shorter than asked for while there are more: who left is passed over.
    """
    place = _resumed(asked, cursor) if cursor else _opened(asked, frozenset())
    found: list[Ranked] = []
    while len(found) < asked.limit and not place.is_the_end:
        if place.is_at_its_end:
            place = _opened(asked, place.window.known)
            continue
        end = place.offset + asked.limit - len(found)
        found += _ranked(asked, place.window.people[place.offset : end], place.fresh)
        place = replace(place, offset=min(end, len(place.window.people)))
    return found, None if place.is_the_end else _cursor(asked, place)


def _resumed(asked: Asked, cursor: Cursor) -> _Place:
    cursors.check(cursor, digest=asked.digest)
    return _Place(windows.load(cursor.window), cursor.window, cursor.offset)


def _cursor(asked: Asked, place: _Place) -> str:
    name = place.name or windows.save(place.window)
    return cursors.write(Cursor(asked.digest, asked.label, name, place.offset))


def _opened(asked: Asked, before: frozenset[uuid.UUID]) -> _Place:
    """The window of the best of whoever was in none before."""
    out = asked.filters.exclude | before
    found = _nearest(asked, replace(asked.filters, exclude=out))
    candidates = standing.candidates(asked.viewer, found[:WINDOW], space=asked.space)
    ranked = rank(
        candidates,
        preference=asked.preference,
        stages=build(
            Weights(**settings.RANKING),
            preference=asked.preference,
            seed=f"{asked.viewer.pk} {timezone.localdate()}",
        ),
        calibrate=asked.calibrate,
    )
    fresh = {uuid.UUID(one.candidate.id): one for one in ranked}
    people = tuple(Placed(pk, one.stages, one.unsaid) for pk, one in fresh.items())
    window = Window(people, before, is_last=len(found) <= WINDOW)
    return _Place(window, fresh=fresh)


def _nearest(asked: Asked, filters: Filters) -> list[Found]:
    """The best by preference, one more than a window holds if there are as many."""
    found = {
        one.profile_id: one
        for probe in asked.preference.probes()
        for one in selectors.candidates(
            asked.viewer,
            space=asked.space,
            query=probe,
            filters=filters,
            limit=WINDOW + 1,
        )
    }
    everybody = list(found.values())
    if not everybody:
        return []
    liking = asked.preference.score(np.stack([one.features for one in everybody]))
    order = np.argsort(-liking, kind="stable")[: WINDOW + 1]
    return [everybody[i] for i in order]


def _ranked(
    asked: Asked, part: Sequence[Placed], fresh: Mapping[uuid.UUID, Ranked] | None
) -> list[Ranked]:
    """Those who may still be shown, in their order, with what the stages added then."""
    if fresh is not None:
        return [fresh[one.profile_id] for one in part]
    features = selectors.still_eligible(
        asked.viewer,
        space=asked.space,
        filters=asked.filters,
        profile_ids=[one.profile_id for one in part],
    )
    left = [one for one in part if one.profile_id in features]
    if not left:
        return []
    liking = asked.preference.score(np.stack([features[x.profile_id] for x in left]))
    chances = asked.calibrate(liking)
    return [
        Ranked(
            Candidate(str(one.profile_id), features[one.profile_id]),
            preference=float(liking[i]),
            match_score=float(chances[i]),
            stages=one.stages,
            unsaid=one.unsaid,
        )
        for i, one in enumerate(left)
    ]
