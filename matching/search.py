"""From liked and disliked photos to a ranked, explained page of people."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from django.core import signing

from annotation import services as annotation
from matching import calibrations, selectors, spaces
from matching.explain import Explanation, Wish, contributions, wishes
from matching.features import FeatureSpace, photo_matrix, unpack
from matching.models import Space
from matching.preference import BayesianPreference, LinearPreference, sigmoid
from matching.ranking.base import Candidate, Ranked, rank
from matching.selectors import Filters, Found, Position
from profiles.models import Photo, Profile
from twinby.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError

CURSOR_SALT = "matching.search"


@dataclass(frozen=True)
class Query:
    """What a person asks: photos they like and dislike, wishes, and a page."""

    liked: tuple[uuid.UUID, ...]
    disliked: tuple[uuid.UUID, ...] = ()
    filters: Filters = field(default_factory=Filters)
    importance: Mapping[str, float] = field(default_factory=dict)
    limit: int = 20
    cursor: str = ""

    @property
    def examples(self) -> tuple[uuid.UUID, ...]:
        return self.liked + self.disliked


@dataclass(frozen=True)
class Match:
    """One person of the answer, with the whole sum behind their score."""

    profile_id: uuid.UUID
    ranked: Ranked
    explanation: Explanation


@dataclass(frozen=True)
class Page:
    """The answer: who, why, what was understood, and where the next page starts."""

    matches: list[Match]
    wishes: list[Wish]
    space: FeatureSpace
    prior: str
    # The calibration of the match scores; None: they are the model's own.
    calibration: str | None
    next_cursor: str | None


def search(viewer: Profile, query: Query) -> Page:
    """The people that `viewer` would like, by the photos they point at.

    Raises NotFoundError for photos that the viewer may not use, ConflictError while a
    photo has not been read, InvalidError for a cursor of another search.
    """
    stored = spaces.active_space()
    space = spaces.feature_space(stored)
    preference = learn(viewer, query, space)
    found, next_cursor = look_up(viewer, query, stored, preference)
    calibration = calibrations.active()
    calibrate = calibration.calibrator if calibration else sigmoid
    ranked = rank(found, preference=preference, calibrate=calibrate)
    return Page(
        matches=[explain(space, preference, one) for one in ranked],
        wishes=wishes(space, preference=preference),
        space=space,
        prior=preference.prior.version,
        calibration=calibration.version if calibration else None,
        next_cursor=next_cursor,
    )


def learn(viewer: Profile, query: Query, space: FeatureSpace) -> LinearPreference:
    """The taste that the example photos show."""
    _check_usable(viewer, query.examples)
    seen = spaces.sightings_in(space, query.examples)
    _check_read(viewer, query.examples, known=seen.keys())
    examples = photo_matrix(space, [seen[pk] for pk in query.examples])
    liked = np.arange(len(query.examples)) < len(query.liked)
    fitted = BayesianPreference.fit(examples, liked=liked)
    return fitted.weighted(query.importance)


def look_up(
    viewer: Profile, query: Query, space: Space, preference: LinearPreference
) -> tuple[list[Candidate], str | None]:
    """One page of candidates, and the cursor of the next page if there is one."""
    taste = preference.probes()[0]
    digest = _digest(viewer, query, space, taste)
    found = selectors.candidates(
        viewer,
        space=space,
        query=taste,
        filters=_with_exclusions(query),
        limit=query.limit + 1,
        after=_position(query.cursor, digest),
    )
    page, more = found[: query.limit], found[query.limit :]
    cursor = _cursor(page[-1], digest) if more else None
    return [Candidate(str(f.profile_id), features(f)) for f in page], cursor


def features(found: Found) -> npt.NDArray[np.float64]:
    """What is scored and explained: exactly what is stored, (644,)."""
    return unpack(found.vector)


def explain(space: FeatureSpace, preference: LinearPreference, ranked: Ranked) -> Match:
    """A ranked candidate with the addends of their score."""
    explanation = contributions(
        space,
        preference=preference,
        features=ranked.candidate.features,
        stages=ranked.stages,
        unsaid=ranked.unsaid,
    )
    return Match(uuid.UUID(ranked.candidate.id), ranked, explanation)


def _check_usable(viewer: Profile, photo_ids: Sequence[uuid.UUID]) -> None:
    usable = set(
        Photo.objects.usable_as_example(viewer)
        .filter(pk__in=photo_ids)
        .values_list("pk", flat=True)
    )
    unknown = [str(pk) for pk in photo_ids if pk not in usable]
    if unknown:
        raise NotFoundError(
            "There are no such photos that this person may search by; see photo_ids.",
            kind="photo-not-found",
            photo_ids=unknown,
        )


def _check_read(
    viewer: Profile, photo_ids: Sequence[uuid.UUID], *, known: Container[uuid.UUID]
) -> None:
    missing = [pk for pk in photo_ids if pk not in known]
    if not missing:
        return
    failed = [pk for pk in missing if annotation.reading_status(pk)[0] == "failed"]
    if failed:
        raise ConflictError(
            "Some photos cannot be read; leave them out.",
            kind="photos-unreadable",
            photo_ids=[str(pk) for pk in failed],
        )
    if not Profile.objects.annotatable().filter(pk=viewer.pk).exists():
        raise ForbiddenError(
            "Without this person's consent their photos are not read.",
            kind="consent-required",
        )
    raise ConflictError(
        "Some photos are still being read; try again in a moment.",
        kind="photos-not-ready",
        photo_ids=[str(pk) for pk in missing],
    )


def _with_exclusions(query: Query) -> Filters:
    """The people in the given photos are known already."""
    shown = Photo.objects.filter(pk__in=query.examples, purpose=Photo.Purpose.PROFILE)
    owners = frozenset(shown.values_list("owner_id", flat=True))
    return replace(query.filters, exclude=query.filters.exclude | owners)


# Cursors: signed, and good for the same search only -----------------------------------


def _digest(
    viewer: Profile, query: Query, space: Space, taste: npt.NDArray[np.float64]
) -> str:
    """What must be the same for one page to follow another; a correction may end it."""
    asked = (
        hashlib.sha256(taste.tobytes()).hexdigest(),
        str(viewer.pk),
        [str(pk) for pk in query.examples],
        len(query.liked),
        repr(replace(query.filters, exclude=frozenset())),
        sorted(str(pk) for pk in query.filters.exclude),
        sorted(query.importance.items()),
        space.version,
    )
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def _cursor(last: Found, digest: str) -> str:
    position = [digest, last.distance, str(last.profile_id)]
    return signing.dumps(position, salt=CURSOR_SALT, compress=True)


def _position(cursor: str, digest: str) -> Position | None:
    if not cursor:
        return None
    try:
        made_for, distance, profile_id = signing.loads(cursor, salt=CURSOR_SALT)
    except (signing.BadSignature, ValueError):
        raise InvalidError(
            "This cursor is not one of ours.", kind="bad-cursor"
        ) from None
    if made_for != digest:
        raise InvalidError(
            "This cursor belongs to another search; start again without it.",
            kind="bad-cursor",
        )
    return Position(distance, uuid.UUID(profile_id))
