"""Why a person was found: the score taken apart. Pure; `phrases` says it in words.

Everything is on the log-odds scale. The addends sum to the score, and a reason says
only what its addend says: which attribute, which way, through which example photos.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from annotation.schema import BY_NAME, Group, value_names
from matching.features import VISUAL, FeatureSpace, presence, value_weights
from matching.messages import MESSAGES, STAGE_MESSAGES, Message
from matching.preference import LinearPreference
from matching.shares import (
    ADDED,
    COLUMNS,
    Evidence,
    of_attributes,
    of_columns,
    shares,
)

FloatArray = npt.NDArray[np.float64]

# Less than this changes a probability by half a percent: not worth a word.
NEGLIGIBLE = 0.02
# Of a stage, what changes a probability by less than 2.5 percent is not: "active
# recently" is nobody of whose activity little is left.
SAID_OF_STAGE = 0.1
# A value shows where it is this far from the average photo to a sure sighting of it;
# one clear photo of a person, shrunk to two thirds, suffices.
SHOWN = 0.4


class Source(StrEnum):
    """Where an addend comes from."""

    PRIOR = "prior"  # what was believed before the examples; never credited to photos
    ATTRIBUTE = "attribute"
    VISUAL = "visual"
    STAGE = "stage"  # a ranking stage: its score after minus before


_NAMES = tuple(COLUMNS)
# What each column of the shares is about.
_ABOUT = [(Source.ATTRIBUTE if v else Source.VISUAL, name, v) for name, v in ADDED]
# What the columns are summed to, and which of them to which, (133, 4).
_GROUPS = (VISUAL, *(group.value for group in Group))
_GROUP_OF = [BY_NAME[name].group.value if value else VISUAL for name, value in ADDED]
_IN_GROUP = np.array([[one == group for group in _GROUPS] for one in _GROUP_OF], float)


class Addend(NamedTuple):
    """One term of the score, in log-odds, and the example photos that bring it.

    `liked` and `disliked` are 1-based positions among the liked and the disliked: what
    brings at least half of what the strongest of all examples brings.
    """

    source: Source
    name: str
    value: str | None
    amount: float
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reason:
    """What an attribute, "visual" or a stage adds to the score, and by which photos.

    `photos` are 1-based positions among the liked or, for the two messages about
    disliked photos, among the disliked, strongest side only; none where people taught,
    and none of a stage.
    """

    message: Message
    name: str
    value: str | None
    amount: float
    photos: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Explanation:
    """The score of one person as a sum, and the reasons, strongest first: log-odds.

    `shares` (n, 133) is what each example brings by the look and each value.
    """

    prior: float
    shares: FloatArray
    stages: Mapping[str, float]
    reasons: tuple[Reason, ...]
    evidence: Evidence

    @cached_property
    def amounts(self) -> FloatArray:
        """What the look and each value add, (133,)."""
        total: FloatArray = self.shares.sum(axis=0)
        return total

    @property
    def score(self) -> float:
        """The sum of all addends."""
        return self.prior + float(self.amounts.sum()) + sum(self.stages.values())

    @property
    def groups(self) -> dict[str, float]:
        """The score by "prior", "visual", group of attributes, and stage."""
        likenesses = (self.amounts @ _IN_GROUP).tolist()
        totals = dict(zip(_GROUPS, likenesses, strict=True))
        return {"prior": self.prior, **totals, **self.stages}

    def addends(self, least: float = 0.0) -> list[Addend]:
        """The terms of the sum, those of an amount of `least` or more, up or down."""
        terms = [
            Addend(Source.PRIOR, "prior", None, self.prior),
            *self._likenesses(np.flatnonzero(np.abs(self.amounts) >= least)),
            *(Addend(Source.STAGE, name, None, x) for name, x in self.stages.items()),
        ]
        return [term for term in terms if abs(term.amount) >= least]

    def _likenesses(self, columns: npt.NDArray[np.intp]) -> list[Addend]:
        amounts = self.amounts[columns]
        toward = self.shares[:, columns] * np.sign(amounts)
        photos = self.evidence.of(toward.T)
        rows = zip(columns.tolist(), amounts.tolist(), photos, strict=True)
        return [Addend._make((*_ABOUT[c], amount, *by)) for c, amount, by in rows]


@dataclass(frozen=True)
class Wish:
    """What the examples say about one value: log-odds per unit of its presence.

    Above 0 a wish, below 0 an aversion; and how many examples clearly show the value.
    """

    name: str
    value: str
    weight: float
    liked: int
    disliked: int


@dataclass(frozen=True, eq=False)
class Scored:
    """Whose score is to be explained: features (644,) as they are stored, so that what
    is explained is what was scored, and what the ranking stages added.

    Stages that are `unsaid` know nothing of this very person: added, but no reason.
    """

    features: FloatArray
    stages: Mapping[str, float] = field(default_factory=dict)
    unsaid: Container[str] = ()


def explanations(
    space: FeatureSpace,
    people: Sequence[Scored],
    *,
    preference: LinearPreference,
    by_photos: bool = True,
) -> list[Explanation]:
    """Take apart the scores of these people, who are ranked by the preference.

    Where its examples are not photos that were given, nothing names them.
    """
    if not people:
        return []
    features = np.stack([one.features for one in people])
    above = presence(space, features)
    brought = shares(space, preference=preference, features=features, above=above)
    evidence = Evidence(preference.liked, named=by_photos)
    priors = preference.prior.intercept + features @ preference.prior_weights
    degree = np.pad(_degree(space, above), ((0, 0), (1, 0)))  # the look has none
    reasons = _reasons(brought, evidence, degree=degree)
    return [
        Explanation(
            prior=float(priors[i]),
            shares=brought[i],
            stages=one.stages,
            reasons=_ordered(reasons[i] + _stage_reasons(one)),
            evidence=evidence,
        )
        for i, one in enumerate(people)
    ]


def wishes(space: FeatureSpace, *, preference: LinearPreference) -> list[Wish]:
    """What was understood from the examples, the strongest wish first.

    The weight of a value is (L @ (w - w0))_v / scale; the prior is no one's wish.
    """
    weights = value_weights(space, preference.learned_weights)
    shown = _degree(space, presence(space, preference.examples)) >= SHOWN
    liked = shown[preference.liked].sum(axis=0)
    disliked = shown[~preference.liked].sum(axis=0)
    found = [
        Wish(attribute.name, value, float(weights[i]), int(liked[i]), int(disliked[i]))
        for i, (attribute, value) in enumerate(value_names())
    ]
    return sorted(found, key=lambda wish: -wish.weight)


def _degree(space: FeatureSpace, above: FloatArray) -> FloatArray:
    """How far from average (0) each value is to sure (1) or surely absent (-1).

    Of the presence above the average, (..., 132).
    """
    degree: FloatArray = above / np.where(above > 0, 1 - space.mean, space.mean)
    return degree


def _ordered(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Strongest first."""
    return tuple(sorted(reasons, key=lambda reason: -abs(reason.amount)))


def _stage_reasons(one: Scored) -> list[Reason]:
    return [
        Reason(STAGE_MESSAGES[name, amount > 0], name, None, amount, ())
        for name, amount in one.stages.items()
        if abs(amount) >= SAID_OF_STAGE
        and name not in one.unsaid
        and (name, amount > 0) in STAGE_MESSAGES
    ]


def _reasons(
    brought: FloatArray, evidence: Evidence, *, degree: FloatArray
) -> list[list[Reason]]:
    """What the look and each attribute add to m people, where it is worth a word.

    Of the shares (m, n, 133): which side brings most, by which photos. A value is named
    if it clearly shows, or clearly does not, and then only the photos count that bring
    something through this very value.
    """
    amounts = of_attributes(brought.sum(axis=1))
    raises = amounts > 0
    toward = brought * np.where(of_columns(raises), 1.0, -1.0)[:, None]
    whole = of_attributes(toward)
    by_liked = np.greater_equal(*evidence.of_sides(np.maximum(whole, 0.0)))
    through = np.where(of_columns(by_liked), *evidence.of_sides(toward))
    shown = np.where(of_columns(raises == by_liked), degree, -degree) >= SHOWN
    fitting = np.where(shown, through, 0.0)
    who, what = np.nonzero(np.abs(amounts) >= NEGLIGIBLE)
    best = [_best(fitting[i], name=_NAMES[j]) for i, j in zip(who, what, strict=True)]
    named, side = fitting[who, best] > 0, by_liked[who, what]
    bring = np.where(named[:, None], toward[who, :, best], whole[who, :, what])
    photos = evidence.of(bring, among=evidence.liked == side[:, None])
    found: list[list[Reason]] = [[] for _ in brought]
    for k, (i, j) in enumerate(zip(who, what, strict=True)):
        message = MESSAGES[bool(raises[i, j]), bool(side[k])]
        value = ADDED[best[k]][1] if named[k] else None
        photo = photos[k][0 if side[k] else 1]
        found[i].append(Reason(message, _NAMES[j], value, float(amounts[i, j]), photo))
    return found


def _best(fitting: FloatArray, *, name: str) -> int:
    """The column that fits best of those of an attribute, of (133,)."""
    columns = COLUMNS[name]
    return int(columns.start + fitting[columns].argmax())
