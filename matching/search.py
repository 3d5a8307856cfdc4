"""From photos liked and disliked, or feedback alone, to a ranked page of people."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from annotation import services as annotation
from matching import cursors, labels, selectors, spaces, tastes
from matching.assignment import arm_of
from matching.explain import Explanation, Wish, contributions, wishes
from matching.features import FeatureSpace, photo_matrix, unpack
from matching.models import Space
from matching.preference import BayesianPreference, LinearPreference, Prior
from matching.ranking import Candidate, Ranked, rank
from matching.selectors import Filters, Found
from profiles.models import Photo, Profile
from twinby.errors import ConflictError, ForbiddenError, NotFoundError

METHOD = "bayesian"


@dataclass(frozen=True)
class Query:
    """What a person asks: photos they like and dislike, wishes, and a page.

    `unseen`: without the people of whom they have said anything. `until`: what their
    taste is learned from, up to the label of this id; all of it on a first page.
    """

    liked: tuple[uuid.UUID, ...] = ()
    disliked: tuple[uuid.UUID, ...] = ()
    filters: Filters = field(default_factory=Filters)
    importance: Mapping[str, float] = field(default_factory=dict)
    limit: int = 20
    cursor: str = ""
    unseen: bool = False
    until: int = 0

    @property
    def examples(self) -> tuple[uuid.UUID, ...]:
        return self.liked + self.disliked


@dataclass(frozen=True)
class Match:
    """One person of the answer, with the whole sum behind their score.

    `propensity` is the chance that they stand here: 1 while nothing is drawn by lot.
    """

    profile_id: uuid.UUID
    ranked: Ranked
    explanation: Explanation
    propensity: float = 1.0


@dataclass(frozen=True)
class Page:
    """The answer: who, why, what was understood, by which versions, what is next."""

    matches: list[Match]
    wishes: list[Wish]
    space: FeatureSpace
    prior: str
    next_cursor: str | None
    arm: str
    # How many labels of the person's own feedback have taught.
    labels: int
    method: str = METHOD
    calibration: str | None = None
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
    preference = learn(viewer, query, spaces.feature_space(stored), prior=prior)
    return _page(viewer, query, stored, preference, taught=len(taste.liked))


def daily(viewer: Profile, query: Query) -> Page:
    """The people that `viewer` would like, by their feedback alone.

    Nobody of whom they have said anything. As long as nothing is known of their taste,
    everybody is as good, and a lot drawn for them and the day says who comes first.
    """
    stored = spaces.active_space()
    query = begun(viewer, replace(query, unseen=True))
    taste = tastes.learned(viewer, stored, until=query.until)
    preference = tastes.in_order(taste, viewer)
    return _page(viewer, query, stored, preference, taught=len(taste.liked))


def begun(viewer: Profile, query: Query) -> Query:
    """The query with its moment: a first page's is now, a later one's the first's."""
    cursor = cursors.read(query.cursor)
    return replace(query, until=cursor.label if cursor else labels.latest(viewer))


def learn(
    viewer: Profile, query: Query, space: FeatureSpace, *, prior: Prior | None = None
) -> LinearPreference:
    """The taste that the example photos show."""
    _check_usable(viewer, query.examples)
    seen = spaces.sightings_in(space, query.examples)
    _check_read(viewer, query.examples, known=seen.keys())
    examples = photo_matrix(space, [seen[pk] for pk in query.examples])
    liked = np.arange(len(query.examples)) < len(query.liked)
    fitted = BayesianPreference.fit(examples, liked=liked, prior=prior)
    return fitted.weighted(query.importance)


def _page(
    viewer: Profile,
    query: Query,
    stored: Space,
    preference: LinearPreference,
    *,
    taught: int,
) -> Page:
    """Candidates, ranked and explained, by a preference that has been learned."""
    space = spaces.feature_space(stored)
    found, next_cursor = look_up(viewer, query, stored, preference)
    ranked = rank(found, preference=preference)
    if query.examples:
        matches = [explain(space, preference, one) for one in ranked]
    else:
        two = tastes.in_two(preference)
        matches = [_by_people(explain(space, two, one)) for one in ranked]
    return Page(
        matches=matches,
        wishes=wishes(space, preference=preference),
        space=space,
        prior=preference.prior.version,
        next_cursor=next_cursor,
        arm=arm_of(viewer),
        labels=taught,
    )


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
        filters=_with_exclusions(viewer, query),
        limit=query.limit + 1,
        after=cursors.check(cursors.read(query.cursor), digest=digest),
    )
    page, more = found[: query.limit], found[query.limit :]
    cursor = cursors.write(page[-1], digest=digest, label=query.until) if more else None
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
    )
    return Match(uuid.UUID(ranked.candidate.id), ranked, explanation)


def _by_people(match: Match) -> Match:
    """The same, where no photo was given: a reason names none."""
    reasons = tuple(replace(r, photos=()) for r in match.explanation.reasons)
    return replace(match, explanation=replace(match.explanation, reasons=reasons))


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


def _with_exclusions(viewer: Profile, query: Query) -> Filters:
    """The people in the given photos are known already; so are those seen, if asked.

    Blocks hide whatever an index knows of them.
    """
    shown = Photo.objects.filter(pk__in=query.examples, purpose=Photo.Purpose.PROFILE)
    known = selectors.blocked_with(viewer) | set(
        shown.values_list("owner_id", flat=True)
    )
    if query.unseen:
        known |= selectors.seen_by(viewer)
    return replace(query.filters, exclude=query.filters.exclude | known)


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
