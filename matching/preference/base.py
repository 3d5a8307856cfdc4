"""What every taste can do, and what every linear one amounts to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from matching.features import WIDTH
from matching.preference.prior import Prior
from matching.preference.sliders import importance

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


class Preference(Protocol):
    """A taste: vectors to ask the index with, and exact scores for what it finds."""

    def probes(self) -> list[FloatArray]:
        """Query vectors, each of shape (644,)."""
        ...

    def score(self, features: FloatArray) -> FloatArray:
        """Log-odds of a like, (n,), of features (n, 644)."""
        ...

    def at(self, features: FloatArray) -> LinearPreference:
        """The linear taste that scores one candidate, (644,): what can be explained."""
        ...


@dataclass(frozen=True, eq=False)
class LinearPreference:
    """w = importance * (w0 + C @ X.T @ credits): what every linear taste amounts to.

    `examples` (n, 644) in the order given, `liked` (n,), `credits` (n,): at least 0 for
    a like, at most 0 for a dislike. `importance` (644,) is applied after learning.
    """

    prior: Prior
    examples: FloatArray
    liked: BoolArray
    credits: FloatArray
    importance: FloatArray

    @cached_property
    def weights(self) -> FloatArray:
        """w, (644,)."""
        return self.prior_weights + self.learned_weights

    @cached_property
    def prior_weights(self) -> FloatArray:
        """The part of w that was there before the examples, (644,)."""
        return self.importance * self.prior.mean

    @cached_property
    def learned_weights(self) -> FloatArray:
        """The part of w that the examples brought, (644,)."""
        dual = self.credits @ self.examples
        learned: FloatArray = self.importance * self.prior.covariance_times(dual)
        return learned

    @cached_property
    def pulls(self) -> FloatArray:
        """What a credit of 1 for each example adds to w, (n, 644)."""
        return self.importance * self.prior.covariance_times(self.examples)

    def probes(self) -> list[FloatArray]:
        """One query: the weights themselves."""
        return [self.weights]

    def score(self, features: FloatArray) -> FloatArray:
        """Log-odds of a like, (n,), of features (n, 644)."""
        log_odds: FloatArray = self.prior.intercept + features @ self.weights
        return log_odds

    def at(self, features: FloatArray) -> LinearPreference:
        """Itself: it scores everybody alike."""
        return self

    def weighted(self, sliders: Mapping[str, float]) -> Self:
        """The same taste with importance sliders; nothing is learned again."""
        return replace(self, importance=importance(sliders))


def sigmoid(z: FloatArray) -> FloatArray:
    """1 / (1 + exp(-z)) without overflow."""
    probability: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * z))
    return probability


def checked_examples(
    examples: FloatArray,
    liked: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
) -> tuple[FloatArray, BoolArray, FloatArray]:
    """Examples (n, 644), liked (n,) and weights (n,), 1 where none are given.

    Raises ValueError if the shapes disagree or a weight is negative.
    """
    x = np.asarray(examples, dtype=np.float64).reshape(-1, WIDTH)
    y = np.asarray(liked, dtype=np.bool_).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} examples but {len(y)} labels")
    if weights is None:
        return x, y, np.ones(len(y))
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (len(y),) or not (given >= 0).all():
        raise ValueError("one weight of 0 or more per example")
    return x, y, given
