"""From photos liked and disliked, or feedback alone, to a ranked page of people."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from annotation import services as annotation
from matching import (
    calibrations,
    cursors,
    labels,
    paging,
    selectors,
    spaces,
    tastes,
)
from matching.assignment import arm_of
from matching.explain import Explanation, Scored, Wish, explanations, wishes
from matching.features import FeatureSpace, photo_matrix
from matching.ids import fingerprint
from matching.models import Space
from matching.preference import (
    DEFAULT,
    METHODS,
    LinearPreference,
    Prior,
    fit,
    sigmoid,
)
from matching.ranking.base import Calibrate, Ranked
from matching.selectors import Filters
from profiles.examples import owners_of_usable
from profiles.models import Profile
from twinby.errors import ConflictError, ForbiddenError, NotFoundError


@dataclass(frozen=True)
class Query:
    """What a person asks: photos they like and dislike, wishes, and a page.

    `unseen`: without the people of whom they have said anything. `until`: what their
    taste is learned from, up to the label of this id; all of it on a first page.
    `method` names one of `preference.METHODS`; empty: what the person's arm is called,
    or the default.
    """

    liked: tuple[uuid.UUID, ...] = ()
    disliked: tuple[uuid.UUID, ...] = ()
    filters: Filters = field(default_factory=Filters)
    importance: Mapping[str, float] = field(default_factory=dict)
    limit: int = 20
    cursor: str = ""
    unseen: bool = False
    until: int = 0
    method: str = ""

    @property
    def examples(self) -> tuple[uuid.UUID, ...]:
        return self.liked + self.disliked


@dataclass(frozen=True)
class Match:
    """One person of the answer, with the whole sum behind their score."""

    profile_id: uuid.UUID
    ranked: Ranked
    explanation: Explanation

    @property
    def propensity(self) -> float | None:
        """The chance that they stand here: 1 but where exploration draws lots."""
        return None if "exploration" in self.ranked.stages else 1.0


@dataclass(frozen=True)
class Page:
    """The answer: who, why, what was understood, by which versions, what is next."""

    matches: list[Match]
    wishes: list[Wish]
    space: FeatureSpace
    prior: str
    method: str
    # Of the match scores; None: they are the model's own.
    calibration: str | None
    next_cursor: str | None
    arm: str
    # How many labels of the person's own feedback have taught.
    labels: int
    id: uuid.UUID = field(default_factory=uuid.uuid4)


def search(viewer: Profile, query: Query) -> Page:
    """The people that `viewer` would like, by the photos they point at.

    Raises NotFoundError for photos that the viewer may not use, ConflictError while a
    photo has not been read, InvalidError for a cursor of another search.
    """
    stored = spaces.active_space()
    query = begun(viewer, query)
    taste = tastes.learned(viewer, stored, until=query.until)
    prior = tastes.beside_photos(taste)
    usable = owners_of_usable(viewer, query.examples)
    space = spaces.feature_space(stored)
    preference = learn(viewer, query, space, usable=usable, prior=prior)
    known = frozenset(usable.values()) - {viewer.pk}
    taught = len(taste.liked)
    return _page(viewer, query, stored, preference, taught=taught, known=known)


def daily(viewer: Profile, query: Query) -> Page:
    """The people that `viewer` would like, by their feedback alone.

    Nobody of whom they have said anything. As long as nothing is known of their taste,
    everybody is as good, and a lot drawn for them and the day says who comes first.
    """
    stored = spaces.active_space()
    query = replace(begun(viewer, replace(query, unseen=True)), method=DEFAULT)
    taste = tastes.learned(viewer, stored, until=query.until)
    preference = tastes.in_order(taste, viewer)
    return _page(viewer, query, stored, preference, taught=len(taste.liked))


def begun(viewer: Profile, query: Query) -> Query:
    """The query with its moment and its method, which later pages have of the first."""
    cursor = cursors.read(query.cursor)
    until = cursor.label if cursor else labels.latest(viewer)
    arm = arm_of(viewer).rpartition(":")[2]
    method = query.method or (arm if arm in METHODS else DEFAULT)
    return replace(query, until=until, method=method)


def learn(
    viewer: Profile,
    query: Query,
    space: FeatureSpace,
    *,
    usable: Container[uuid.UUID],
    prior: Prior | None = None,
) -> LinearPreference:
    """The taste that the example photos show, of those that the viewer may use."""
    _check_usable(query.examples, usable)
    seen = spaces.sightings_in(space, query.examples)
    _check_read(viewer, query.examples, known=seen.keys())
    examples = photo_matrix(space, [seen[pk] for pk in query.examples])
    liked = np.arange(len(query.examples)) < len(query.liked)
    fitted = fit(query.method or DEFAULT, examples, liked=liked, prior=prior)
    return fitted.weighted(query.importance)


def _page(
    viewer: Profile,
    query: Query,
    stored: Space,
    preference: LinearPreference,
    *,
    taught: int,
    known: frozenset[uuid.UUID] = frozenset(),
) -> Page:
    """Candidates, ranked and explained, by a preference that has been learned.

    Without those who are `known`.
    """
    space, calibration = spaces.feature_space(stored), calibrations.active()
    calibrate = calibration.calibrator if calibration else sigmoid
    filters = _with_exclusions(viewer, query, known)
    asked = _asked(viewer, query, stored, preference, filters, calibrate)
    ranked, next_cursor = paging.page(asked, cursors.read(query.cursor))
    return Page(
        matches=_explained(query, space, preference, ranked),
        wishes=wishes(space, preference=preference),
        space=space,
        prior=preference.prior.version,
        method=query.method,
        calibration=calibration.version if calibration else None,
        next_cursor=next_cursor,
        arm=arm_of(viewer),
        labels=taught,
    )


def _asked(
    viewer: Profile,
    query: Query,
    stored: Space,
    preference: LinearPreference,
    filters: Filters,
    calibrate: Calibrate,
) -> paging.Asked:
    return paging.Asked(
        viewer=viewer,
        space=stored,
        preference=preference,
        filters=filters,
        calibrate=calibrate,
        limit=query.limit,
        digest=_digest(viewer, query, stored, preference),
        label=query.until,
    )


def _explained(
    query: Query,
    space: FeatureSpace,
    preference: LinearPreference,
    ranked: Sequence[Ranked],
) -> list[Match]:
    """By the photos that were given; by people, whom nothing names, if none were."""
    by_photos = bool(query.examples)
    explained = explanations(
        space,
        [Scored(r.candidate.features, r.stages, r.unsaid) for r in ranked],
        preference=preference if by_photos else tastes.in_two(preference),
        by_photos=by_photos,
    )
    return [
        Match(uuid.UUID(one.candidate.id), one, explanation)
        for one, explanation in zip(ranked, explained, strict=True)
    ]


def _check_usable(photo_ids: Sequence[uuid.UUID], usable: Container[uuid.UUID]) -> None:
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


def _with_exclusions(
    viewer: Profile, query: Query, known: frozenset[uuid.UUID]
) -> Filters:
    """Without the known, and without those seen, if asked.

    Blocks hide whatever an index knows of them.
    """
    out = known | selectors.blocked_with(viewer)
    if query.unseen:
        out |= selectors.seen_by(viewer)
    return replace(query.filters, exclude=query.filters.exclude | out)


def _digest(
    viewer: Profile, query: Query, space: Space, preference: LinearPreference
) -> str:
    """What must be the same for one page to follow another; a correction may end it."""
    asked = (
        hashlib.sha256(preference.weights.tobytes()).hexdigest(),
        str(viewer.pk),
        [str(pk) for pk in query.examples],
        len(query.liked),
        repr(replace(query.filters, exclude=frozenset())),
        fingerprint(query.filters.exclude),
        sorted(query.importance.items()),
        query.method,
        space.version,
    )
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]
