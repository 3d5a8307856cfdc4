"""What a person likes, learned from a few liked and disliked photos. Pure.

A like is Bernoulli with log-odds b + w.x, and w ~ N(w0, C): Bayesian logistic
regression. Its maximum a posteriori is found in the dual, w = w0 + C @ X.T @ a with one
credit per example, so that every score can be shared out among the examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from annotation.schema import BY_NAME, SCHEMA, Group
from matching.features import BLOCKS, VISUAL, WIDTH

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Prior variance in log-odds that one seen attribute, and the look, may bring (each has
# mean square 1): ten of them and the look make a standard deviation of 1.6.
ATTRIBUTE_VARIANCE = 0.15
VISUAL_VARIANCE = 1.0
# A dislike counts half a like, as is customary (Manning et al. 2008, 9.1.1): there are
# many reasons to dislike, and docs/ranking.md has what it is worth on real ratings.
DISLIKE_SHARE = 0.5

MAX_NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10
SMALLEST_STEP = 1e-4
ROUNDING = 1e-14


class Preference(Protocol):
    """A taste: vectors to ask the index with, and exact scores for what it finds."""

    def probes(self) -> list[FloatArray]:
        """Query vectors, each of shape (644,)."""
        ...

    def score(self, features: FloatArray) -> FloatArray:
        """Log-odds of a like, (n,), of features (n, 644)."""
        ...


@dataclass(frozen=True, eq=False)
class Prior:
    """What is believed before any example: w ~ N(mean, diag(variance)), each (644,).

    The intercept is the population's log-odds of a like. Examples never move it: the
    share of likes among chosen examples is the asker's choice, not their taste.
    """

    mean: FloatArray
    variance: FloatArray
    intercept: float = 0.0
    version: str = "cold"


def cold_prior() -> Prior:
    """The prior before anybody gave feedback: zero mean, isotropic in each block."""
    variance = np.full(WIDTH, ATTRIBUTE_VARIANCE)
    variance[BLOCKS[VISUAL]] = VISUAL_VARIANCE
    return Prior(mean=np.zeros(WIDTH), variance=variance)


def importance(sliders: Mapping[str, float]) -> FloatArray:
    """Factor of every feature, (644,), of sliders by attribute, group or "visual".

    An attribute's slider multiplies its group's. Raises ValueError if one is unknown,
    negative or not finite.
    """
    unknown = sorted(set(sliders) - {VISUAL, *BY_NAME, *Group})
    if unknown:
        raise ValueError(f"no such attribute or group: {', '.join(unknown)}")
    if not all(np.isfinite(s) and s >= 0 for s in sliders.values()):
        raise ValueError("an importance is a finite number, 0 or more")
    factors = np.ones(WIDTH)
    factors[BLOCKS[VISUAL]] = sliders.get(VISUAL, 1.0)
    for attribute in SCHEMA:
        of_group = sliders.get(attribute.group, 1.0)
        factors[BLOCKS[attribute.name]] = of_group * sliders.get(attribute.name, 1.0)
    return factors


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
        dual: FloatArray = self.credits @ self.examples
        return self.importance * self.prior.variance * dual

    def probes(self) -> list[FloatArray]:
        """One query: the weights themselves."""
        return [self.weights]

    def score(self, features: FloatArray) -> FloatArray:
        """Log-odds of a like, (n,), of features (n, 644)."""
        log_odds: FloatArray = self.prior.intercept + features @ self.weights
        return log_odds

    def weighted(self, sliders: Mapping[str, float]) -> Self:
        """The same taste with importance sliders; nothing is learned again."""
        return replace(self, importance=importance(sliders))


@dataclass(frozen=True, eq=False)
class BayesianPreference(LinearPreference):
    """The logistic posterior; `curvature` (n,) is the loss's, for the uncertainty."""

    curvature: FloatArray

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        example_weights: npt.ArrayLike | None = None,
        dislike_share: float = DISLIKE_SHARE,
        prior: Prior | None = None,
        start: FloatArray | None = None,
    ) -> Self:
        """Learn from examples (n, 644); the same input gives bitwise the same taste.

        An example counts `example_weights` (n,), a disliked one `dislike_share` of it.
        `start` are credits to begin from: faster, equal only to the tolerance.
        Raises ValueError if the shapes disagree or a weight is negative.
        """
        x, y = _examples(examples, liked)
        given = _example_weights(example_weights, count=len(y))
        weight = given * np.where(y, 1.0, dislike_share)
        believed = prior or cold_prior()
        sign = np.where(y, 1.0, -1.0)
        gram = (x * believed.variance) @ x.T
        base = believed.intercept + x @ believed.mean
        begin = np.zeros(len(y)) if start is None else start
        dual = _newton(gram, sign=sign, weight=weight, base=base, start=begin)
        z = base + gram @ dual
        curvature = weight * sigmoid(z) * sigmoid(-z)
        return cls(believed, x, y, dual, np.ones(WIDTH), curvature)

    def variance(self, features: FloatArray) -> FloatArray:
        """Variance of the log-odds (n,) of features (n, 644), by Laplace.

        x.C.x - k.H^1/2 (I + H^1/2 G H^1/2)^-1 H^1/2.k with k = X C x (Rasmussen and
        Williams 2006, 3.24 and algorithm 3.2).
        """
        scaled = features * self.importance
        spread = scaled * self.prior.variance
        root = np.sqrt(self.curvature)[:, None]
        gram = (self.examples * self.prior.variance) @ self.examples.T
        inner = np.eye(len(root)) + root * gram * root.T
        cross = root * (self.examples @ spread.T)
        known = (cross * np.linalg.solve(inner, cross)).sum(axis=0)
        remaining: FloatArray = (scaled * spread).sum(axis=1) - known
        return remaining


@dataclass(frozen=True, eq=False)
class PlainPreference(LinearPreference):
    """The formula in use elsewhere: mean of the liked - c * mean of the disliked."""

    @classmethod
    def fit(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        dislike_share: float = DISLIKE_SHARE,
    ) -> Self:
        """Average the examples (n, 644), in the scale of the cold prior."""
        x, y = _examples(examples, liked)
        likes, dislikes = max(1, y.sum()), max(1, (~y).sum())
        means = np.where(y, 1 / likes, -dislike_share / dislikes)
        return cls(cold_prior(), x, y, means, np.ones(WIDTH))


def sigmoid(z: FloatArray) -> FloatArray:
    """1 / (1 + exp(-z)) without overflow."""
    probability: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * z))
    return probability


def _examples(
    examples: FloatArray, liked: npt.ArrayLike
) -> tuple[FloatArray, BoolArray]:
    x = np.asarray(examples, dtype=np.float64).reshape(-1, WIDTH)
    y = np.asarray(liked, dtype=np.bool_).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} examples but {len(y)} labels")
    return x, y


def _example_weights(weights: npt.ArrayLike | None, *, count: int) -> FloatArray:
    if weights is None:
        return np.ones(count)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (count,) or not (given >= 0).all():
        raise ValueError("one weight of 0 or more per example")
    return given


def _newton(
    gram: FloatArray,
    *,
    sign: FloatArray,
    weight: FloatArray,
    base: FloatArray,
    start: FloatArray,
) -> FloatArray:
    """Credits at the optimum, where credit = weight * sign * P(the label is wrong).

    Newton's method on the dual with a backtracking line search; the loss is convex.
    """

    def loss(dual: FloatArray) -> float:
        fit = gram @ dual
        misfit = weight @ np.logaddexp(0.0, -sign * (base + fit))
        return float(misfit + 0.5 * dual @ fit)

    dual = start
    for _ in range(MAX_NEWTON_STEPS):
        z = base + gram @ dual
        wanted = weight * sign * sigmoid(-sign * z)
        curvature = weight * sigmoid(z) * sigmoid(-z)
        system = np.eye(len(dual)) + curvature[:, None] * gram
        step = np.linalg.solve(system, wanted - dual)
        size, before = 1.0, loss(dual)
        limit = before + ROUNDING * (1.0 + abs(before))
        while size > SMALLEST_STEP and loss(dual + size * step) > limit:
            size /= 2
        dual = dual + size * step
        if np.abs(step).max(initial=0.0) < NEWTON_TOLERANCE:
            return dual
    raise ArithmeticError("the preference did not converge")
