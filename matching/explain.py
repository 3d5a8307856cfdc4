"""Why a person was found: the score taken apart. Pure; `phrases` says it in words.

Everything is on the log-odds scale. The addends sum to the score, and a reason says
only what its addend says: which attribute, which way, through which example photos.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from annotation.schema import BY_NAME, value_names
from matching.features import (
    BLOCKS,
    VALUE_SLICES,
    VISUAL,
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
    disliked photos, among the disliked, strongest side only.
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
    prior = preference.prior.intercept + float(features @ preference.prior_weights)
    visual = BLOCKS[VISUAL]
    look = float(features[visual] @ preference.learned_weights[visual])
    weights = value_weights(space, preference.learned_weights)
    of_values = (presence(space, features) * weights).tolist()
    addends = (
        Addend(Source.PRIOR, "prior", prior),
        Addend(Source.VISUAL, VISUAL, look),
        *(
            Addend(Source.ATTRIBUTE, attribute.name, amount, value)
            for (attribute, value), amount in zip(value_names(), of_values, strict=True)
        ),
        *(Addend(Source.STAGE, name, x) for name, x in (stages or {}).items()),
    )
    reasons = _reasons(space, preference=preference, features=features)
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


def _shares(preference: LinearPreference, *, features: FloatArray) -> FloatArray:
    """What each example brings through each block, (n, 21): credit * <x, C candidate>.

    Summed over the examples this is the addend of the block.
    """
    scaled = features * preference.prior.variance * preference.importance
    starts = [block.start for block in BLOCKS.values()]
    per_block = np.add.reduceat(preference.examples * scaled, starts, axis=1)
    shares: FloatArray = preference.credits[:, None] * per_block
    return shares


def _reasons(
    space: FeatureSpace, *, preference: LinearPreference, features: FloatArray
) -> Iterator[Reason]:
    shares = _shares(preference, features=features)
    degree = _degree(space, features)
    weights = value_weights(space, preference.learned_weights)
    amounts = presence(space, features) * weights
    for name, of_examples in zip(BLOCKS, shares.T, strict=True):
        amount = float(of_examples.sum())
        if abs(amount) < NEGLIGIBLE:
            continue
        message, photos = _evidence(of_examples, liked=preference.liked)
        value = _value(name, message=message, degree=degree, amounts=amounts)
        yield Reason(message, name, value, amount, photos)


def _evidence(
    shares: FloatArray, *, liked: npt.NDArray[np.bool_]
) -> tuple[Message, tuple[int, ...]]:
    """Which side's photos bring most of an attribute's addend, and which of them."""
    raises = shares.sum() > 0
    strength = np.maximum(shares if raises else -shares, 0.0)
    by_liked = strength[liked].sum() >= strength[~liked].sum()
    of_side = strength[liked if by_liked else ~liked]
    named = np.flatnonzero(of_side >= NAMED_SHARE * of_side.max()) + 1
    return MESSAGES[bool(raises), bool(by_liked)], tuple(named.tolist())


def _value(
    name: str, *, message: Message, degree: FloatArray, amounts: FloatArray
) -> str | None:
    """The value that best shows what the message says; None if none clearly does."""
    if name == VISUAL:
        return None
    of_name = VALUE_SLICES[name]
    shows = message in (Message.LIKE_LIKED, Message.LIKE_DISLIKED)
    raises = message in (Message.LIKE_LIKED, Message.UNLIKE_DISLIKED)
    clear = (degree[of_name] if shows else -degree[of_name]) >= SHOWN
    fitting = np.where(clear, amounts[of_name] if raises else -amounts[of_name], 0.0)
    best = int(fitting.argmax())
    return BY_NAME[name].values[best] if fitting[best] > 0 else None
