"""All the ways to learn a taste, by name: for requests and experiment arms. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import numpy.typing as npt

from matching.preference import relevance
from matching.preference.base import FloatArray, LinearPreference
from matching.preference.baselines import (
    BestScorePreference,
    BlendPreference,
    GaussianPreference,
    PlainPreference,
)
from matching.preference.prior import Prior

DEFAULT: Final = "bayesian"


class Fit(Protocol):
    """Learns from examples (n, 644); who has no use for a prior leaves it aside."""

    def __call__(
        self,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None,
        prior: Prior | None,
    ) -> LinearPreference: ...


def _plain(
    examples: FloatArray,
    *,
    liked: npt.ArrayLike,
    example_weights: npt.ArrayLike | None,
    prior: Prior | None,
) -> LinearPreference:
    return PlainPreference.fit(examples, liked=liked, example_weights=example_weights)


def _best_score(
    examples: FloatArray,
    *,
    liked: npt.ArrayLike,
    example_weights: npt.ArrayLike | None,
    prior: Prior | None,
) -> LinearPreference:
    return BestScorePreference.fit(
        examples, liked=liked, example_weights=example_weights
    )


METHODS: Final[Mapping[str, Fit]] = {
    DEFAULT: relevance.fit,
    "plain": _plain,
    "blend": BlendPreference.fit,
    "best_score": _best_score,
    "gaussian": GaussianPreference.fit,
}


def fit(
    name: str,
    examples: FloatArray,
    *,
    liked: npt.ArrayLike,
    example_weights: npt.ArrayLike | None = None,
    prior: Prior | None = None,
) -> LinearPreference:
    """Learn from examples (n, 644) by a method's name; ValueError if unknown."""
    if name not in METHODS:
        raise ValueError(f"no such method: {name}; there are {', '.join(METHODS)}")
    learn = METHODS[name]
    return learn(examples, liked=liked, example_weights=example_weights, prior=prior)
