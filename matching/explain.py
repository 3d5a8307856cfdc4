"""Why a person was found: the score taken apart. Pure; `phrases` says it in words.

Everything is on the log-odds scale. The addends sum to the score, and a reason says
only what its addend says: which attribute, which way, through which example photos.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from matching.preference import LinearPreference

FloatArray = npt.NDArray[np.float64]

# Less than this changes a probability by half a percent: not worth a word.
NEGLIGIBLE = 0.02
# A photo is named if it brings at least half of what the strongest one does.
NAMED_SHARE = 0.5
# A value shows where it is this far from the average photo to a sure sighting of it;
# one clear photo of a person, shrunk to two thirds, suffices.
SHOWN = 0.4

# Where the look and the attributes lie among the shares: 1 + 132 columns.
COLUMNS: Mapping[str, slice] = {VISUAL: slice(0, 1)} | {
    name: slice(1 + s.start, 1 + s.stop) for name, s in VALUE_SLICES.items()
}


class Source(StrEnum):
    """Where an addend comes from."""

    PRIOR = "prior"  # what was believed before the examples; never credited to photos
    ATTRIBUTE = "attribute"
    VISUAL = "visual"
    STAGE = "stage"  # a ranking stage: its score after minus before


class Message(StrEnum):
    """What a reason says; `photos` counts among the liked or among the disliked."""

    LIKE_LIKED = "like_liked"
    UNLIKE_DISLIKED = "unlike_disliked"
    LIKE_DISLIKED = "like_disliked"
    UNLIKE_LIKED = "unlike_liked"


MESSAGES: Mapping[tuple[bool, bool], Message] = {
    # (it raises the score, through the liked)
    (True, True): Message.LIKE_LIKED,
    (True, False): Message.UNLIKE_DISLIKED,
    (False, True): Message.UNLIKE_LIKED,
    (False, False): Message.LIKE_DISLIKED,
}


@dataclass(frozen=True)
class Addend:
    """One term of the score, in log-odds."""

    source: Source
    name: str
    amount: float
    value: str | None = None


@dataclass(frozen=True)
class Reason:
    """What one attribute, or "visual", adds to the score, and through which photos.

    `photos` are 1-based positions among the liked or, for the two messages about
    disliked photos, among the disliked, strongest side only; none where people taught.
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
) -> Explanation:
    """Take apart the score of one person, features (644,), and of the ranking stages.

    Give the features as they are stored, so that what is explained is what was scored.
    """
    preference = preference.at(features)
    prior = preference.prior.intercept + float(features @ preference.prior_weights)
    shares = _shares(space, preference=preference, features=features)
    look, *of_values = shares.sum(axis=0).tolist()
    addends = (
        Addend(Source.PRIOR, "prior", prior),
        Addend(Source.VISUAL, VISUAL, look),
        *(
            Addend(Source.ATTRIBUTE, attribute.name, amount, value)
            for (attribute, value), amount in zip(value_names(), of_values, strict=True)
        ),
        *(Addend(Source.STAGE, name, x) for name, x in (stages or {}).items()),
    )
    degree = np.append(0.0, _degree(space, features))
    reasons = [
        _reason(name, shares=shares[:, s], liked=preference.liked, degree=degree[s])
        for name, s in COLUMNS.items()
        if abs(shares[:, s].sum()) >= NEGLIGIBLE
    ]
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
    photos = np.flatnonzero(evidence >= NAMED_SHARE * evidence.max()) + 1
    value = BY_NAME[name].values[best] if named else None
    message = MESSAGES[raises, by_liked]
    return Reason(message, name, value, amount, tuple(photos.tolist()))
