"""The formulas in use elsewhere, with the same interface and explanations. Pure.

Each gives credits instead of learning them by the logistic loss; similarity is x.C.y
with the cold prior's C.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from matching.features import WIDTH
from matching.preference.base import (
    BoolArray,
    FloatArray,
    LinearPreference,
    checked_examples,
)
from matching.preference.bayesian import DISLIKE_SHARE
from matching.preference.prior import Prior, cold_prior

# Of the base, and of the mean of the liked.
BASE_SHARE: Final = 1.0
LIKED_SHARE: Final = 1.0
# Variance of a label, +1 or -1, around its expectation.
LABEL_NOISE: Final = 1.0
# A photo of which nothing is known is near to nobody.
SMALLEST_LENGTH: Final = 1e-12


@dataclass(frozen=True, eq=False)
class PlainPreference(LinearPreference):
    """Mean of the liked - c * mean of the disliked: Rocchio 1971 without a query."""

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None = None,
        dislike_share: float = DISLIKE_SHARE,
    ) -> Self:
        """Average the examples (n, 644), in the scale of the cold prior."""
        x, y, weight = checked_examples(examples, liked, example_weights)
        means = _shares(weight, y) - dislike_share * _shares(weight, ~y)
        return cls(cold_prior(), x, y, means, np.ones(WIDTH))


@dataclass(frozen=True, eq=False)
class BlendPreference(LinearPreference):
    """alpha * base + beta * mean of the liked; the dislikes say nothing."""

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None = None,
        prior: Prior | None = None,
    ) -> Self:
        """Average the liked of the examples (n, 644); the base is the prior's mean."""
        x, y, weight = checked_examples(examples, liked, example_weights)
        believed, cold = prior or cold_prior(), cold_prior()
        base = replace(
            cold,
            mean=BASE_SHARE * believed.mean,
            intercept=believed.intercept,
            version=believed.version,
        )
        return cls(base, x, y, LIKED_SHARE * _shares(weight, y), np.ones(WIDTH))


@dataclass(frozen=True, eq=False)
class GaussianPreference(LinearPreference):
    """Ridge regression of +1 and -1: the posterior mean of a Gaussian likelihood.

    A like that the others expect too surely has a credit below 0.
    """

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None = None,
        dislike_share: float = DISLIKE_SHARE,
        prior: Prior | None = None,
    ) -> Self:
        """credits = (G + noise / weight)^-1 (label - expected), of examples (n, 644).

        Rasmussen and Williams 2006, 2.23.
        """
        x, y, given = checked_examples(examples, liked, example_weights)
        believed = prior or cold_prior()
        root = np.sqrt(given * np.where(y, 1.0, dislike_share) / LABEL_NOISE)
        surprise = np.where(y, 1.0, -1.0) - believed.intercept - x @ believed.mean
        # Times the root on both sides, so that a weight of 0 is a credit of 0.
        system = np.eye(len(y)) + root[:, None] * believed.gram(x) * root
        credited = root * np.linalg.solve(system, root * surprise)
        return cls(believed, x, y, credited, np.ones(WIDTH))


@dataclass(frozen=True, eq=False)
class BestScorePreference(LinearPreference):
    """Similarity to the nearest liked photo; the dislikes say nothing.

    Not linear: `at` is the taste that scores one candidate. `weights` are those of the
    mean of the liked, which is what can be said about all candidates.
    """

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None = None,
    ) -> Self:
        """Each liked of the examples (n, 644) at length 1; heavier ones are nearer."""
        x, y, weight = checked_examples(examples, liked, example_weights)
        prior = cold_prior()
        length = np.sqrt((x * prior.covariance_times(x)).sum(axis=1))
        nearness = weight * y / np.maximum(length, SMALLEST_LENGTH)
        return cls(
            prior, x, y, nearness / max(1, np.count_nonzero(nearness)), np.ones(WIDTH)
        )

    @cached_property
    def _nearness(self) -> FloatArray:
        """What each photo's similarity is multiplied by, (n,)."""
        nearness: FloatArray = self.credits * np.count_nonzero(self.credits)
        return nearness

    @cached_property
    def _similar(self) -> FloatArray:
        """One vector for each photo that is liked at all, (likes, 644)."""
        toward: FloatArray = self._nearness[:, None] * self.pulls
        return toward[self._nearness > 0]

    def probes(self) -> list[FloatArray]:
        """A query from each liked photo."""
        return list(self._similar)

    def score(self, features: FloatArray) -> FloatArray:
        """The highest similarity, (n,), of features (n, 644); 0 without likes."""
        if not len(self._similar):
            return np.zeros(len(features))
        best: FloatArray = (features @ self._similar.T).max(axis=1)
        return best

    def at(self, features: FloatArray) -> LinearPreference:
        """All credit to the nearest liked photo of this candidate, (644,)."""
        credited = np.zeros(len(self.liked))
        if len(self._similar):
            best = (self._similar @ features).argmax()
            nearest = np.flatnonzero(self._nearness > 0)[best]
            credited[nearest] = self._nearness[nearest]
        return LinearPreference(
            self.prior, self.examples, self.liked, credited, self.importance
        )


def _shares(weight: FloatArray, chosen: BoolArray) -> FloatArray:
    """Each chosen one's share of their weights, (n,); 0 for the others."""
    own = np.where(chosen, weight, 0.0)
    return own / (own.sum() or 1.0)
