"""Why a person was found: the score taken apart. Pure; `phrases` says it in words.

Everything is on the log-odds scale. The addends sum to the score, and a reason says
only what its addend says: which attribute, which way, through which example photos.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from annotation.schema import BY_NAME, value_names
from matching.features import (
    VALUE_SLICES,
    VISUAL,
    VISUAL_WIDTH,
    FeatureSpace,
    presence,
    value_weights,
)
from matching.messages import MESSAGES, STAGE_MESSAGES, Message
from matching.preference import LinearPreference

FloatArray = npt.NDArray[np.float64]

# Less than this changes a probability by half a percent: not worth a word.
NEGLIGIBLE = 0.02
# Of a stage, what changes a probability by less than 2.5 percent is not: "active
# recently" is nobody of whose activity little is left.
SAID_OF_STAGE = 0.1
# A photo is named if it brings at least half of what the strongest one does.
NAMED_SHARE = 0.5
# A value shows where it is this far from the average photo to a sure sighting of it;
# one clear photo of a person, shrunk to two thirds, suffices.
SHOWN = 0.4

# Where the look and the attributes lie among the shares: 1 + 132 columns.
COLUMNS: Mapping[str, slice] = {VISUAL: slice(0, 1)} | {
    name: slice(1 + s.start, 1 + s.stop) for name, s in VALUE_SLICES.items()
}
# What each column is about: (name, value); the look has none.
ADDED: Sequence[tuple[str, str | None]] = (
    (VISUAL, None),
    *((attribute.name, value) for attribute, value in value_names()),
)


class Source(StrEnum):
    """Where an addend comes from."""

    PRIOR = "prior"  # what was believed before the examples; never credited to photos
    ATTRIBUTE = "attribute"
    VISUAL = "visual"
    STAGE = "stage"  # a ranking stage: its score after minus before


@dataclass(frozen=True)
class Addend:
    """One term of the score, in log-odds, and the example photos that bring it.

    `liked` and `disliked` are 1-based positions among the liked and the disliked: what
    brings at least half of what the strongest of all examples brings.
    """

    source: Source
    name: str
    amount: float
    value: str | None = None
    liked: tuple[int, ...] = ()
    disliked: tuple[int, ...] = ()

    @property
    def group(self) -> str:
        """What it counts to: a group of attributes, else itself."""
        attribute = BY_NAME.get(self.name)
        return attribute.group.value if attribute else self.name


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


@dataclass(frozen=True)
class Explanation:
    """The addends, whose sum is the score, and the reasons, strongest first."""

    addends: tuple[Addend, ...]
    reasons: tuple[Reason, ...]

    @property
    def score(self) -> float:
        """Log-odds."""
        return sum(addend.amount for addend in self.addends)

    @property
    def groups(self) -> dict[str, float]:
        """The score by group of attributes, "prior", "visual" and stage: log-odds."""
        totals: dict[str, float] = {}
        for addend in self.addends:
            totals[addend.group] = totals.get(addend.group, 0.0) + addend.amount
        return totals


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


def contributions(
    space: FeatureSpace,
    *,
    preference: LinearPreference,
    features: FloatArray,
    stages: Mapping[str, float] | None = None,
    unsaid: Container[str] = (),
) -> Explanation:
    """Take apart the score of one person, features (644,), and of the ranking stages.

    Give the features as they are stored, so that what is explained is what was scored.
    Stages that are `unsaid` know nothing of this very person: added, but no reason.
    """
    preference = preference.at(features)
    shares = _shares(space, preference=preference, features=features)
    prior = preference.prior.intercept + float(features @ preference.prior_weights)
    given = stages or {}
    addends = (
        Addend(Source.PRIOR, "prior", prior),
        *_likenesses(shares, liked=preference.liked),
        *(Addend(Source.STAGE, name, amount) for name, amount in given.items()),
    )
    degree = np.append(0.0, _degree(space, features))
    reasons = [
        _reason(name, shares=shares[:, s], liked=preference.liked, degree=degree[s])
        for name, s in COLUMNS.items()
        if abs(shares[:, s].sum()) >= NEGLIGIBLE
    ]
    reasons += _stage_reasons(given, unsaid=unsaid)
    strongest_first = sorted(reasons, key=lambda reason: -abs(reason.amount))
    return Explanation(addends, tuple(strongest_first))


def wishes(space: FeatureSpace, *, preference: LinearPreference) -> list[Wish]:
    """What was understood from the examples, the strongest wish first.

    The weight of a value is (L @ (w - w0))_v / scale; the prior is no one's wish.
    """
    weights = value_weights(space, preference.learned_weights)
    shown = _degree(space, preference.examples) >= SHOWN
    liked = shown[preference.liked].sum(axis=0)
    disliked = shown[~preference.liked].sum(axis=0)
    found = [
        Wish(attribute.name, value, float(weights[i]), int(liked[i]), int(disliked[i]))
        for i, (attribute, value) in enumerate(value_names())
    ]
    return sorted(found, key=lambda wish: -wish.weight)


def _degree(space: FeatureSpace, features: FloatArray) -> FloatArray:
    """How far from average (0) each value is to sure (1) or surely absent (-1)."""
    above = presence(space, features)
    degree: FloatArray = above / np.where(above > 0, 1 - space.mean, space.mean)
    return degree


def _shares(
    space: FeatureSpace, *, preference: LinearPreference, features: FloatArray
) -> FloatArray:
    """What each example brings through the look and each value, (n, 133).

    credit * <C x, candidate>, taken apart: the sum over the examples is the addend of
    a value, (p_v - visible * mean_v) * (L @ (w - w0))_v / scale.
    """
    pulls = preference.pulls
    look = pulls[:, :VISUAL_WIDTH] @ features[:VISUAL_WIDTH]
    of_values = pulls[:, VISUAL_WIDTH:] @ space.basis.T * presence(space, features)
    shares: FloatArray = preference.credits[:, None] * np.column_stack(
        [look, of_values]
    )
    return shares


def _likenesses(shares: FloatArray, *, liked: npt.NDArray[np.bool_]) -> list[Addend]:
    """The addends of the look and of every value, with the photos that bring them."""
    amounts = shares.sum(axis=0)
    toward = shares * np.sign(amounts)
    most = toward.max(axis=0, initial=0.0)
    named = (toward >= NAMED_SHARE * most) & (most > 0)
    by_liked, by_disliked = _columns(named[liked]), _columns(named[~liked])
    return [
        Addend(
            Source.ATTRIBUTE if value else Source.VISUAL,
            name,
            amount,
            value,
            by_liked.get(column, ()),
            by_disliked.get(column, ()),
        )
        for column, ((name, value), amount) in enumerate(
            zip(ADDED, amounts.tolist(), strict=True)
        )
    ]


def _columns(named: npt.NDArray[np.bool_]) -> dict[int, tuple[int, ...]]:
    """The 1-based rows of each column that has any, (n, columns); one pass for all."""
    columns, rows = (indices.tolist() for indices in np.nonzero(named.T))
    found: dict[int, tuple[int, ...]] = {}
    for column, row in zip(columns, rows, strict=True):
        found[column] = (*found.get(column, ()), row + 1)
    return found


def _stage_reasons(
    stages: Mapping[str, float], *, unsaid: Container[str]
) -> list[Reason]:
    return [
        Reason(STAGE_MESSAGES[name, amount > 0], name, None, amount, ())
        for name, amount in stages.items()
        if abs(amount) >= SAID_OF_STAGE
        and name not in unsaid
        and (name, amount > 0) in STAGE_MESSAGES
    ]


def _positions(named: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """1-based, as people count."""
    return tuple((np.flatnonzero(named) + 1).tolist())


def _reason(
    name: str,
    *,
    shares: FloatArray,
    liked: npt.NDArray[np.bool_],
    degree: FloatArray,
) -> Reason:
    """Of one attribute's shares (n, values): which side brings most, by which photos.

    A value is named if it clearly shows, or clearly does not, and then only the photos
    count that bring something through this very value.
    """
    amount = float(shares.sum())
    raises = amount > 0
    toward = shares if raises else -shares
    strength = np.maximum(toward.sum(axis=1), 0.0)
    by_liked = bool(strength[liked].sum() >= strength[~liked].sum())
    of_side = toward[liked if by_liked else ~liked]
    clear = (degree if raises == by_liked else -degree) >= SHOWN
    fitting = np.where(clear, of_side.sum(axis=0), 0.0)
    best = int(fitting.argmax())
    named = bool(fitting[best] > 0)
    evidence = of_side[:, best] if named else of_side.sum(axis=1)
    photos = _positions(evidence >= NAMED_SHARE * evidence.max())
    value = BY_NAME[name].values[best] if named else None
    message = MESSAGES[raises, by_liked]
    return Reason(message, name, value, amount, photos)
