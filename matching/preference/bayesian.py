"""The default: Bayesian logistic regression. Pure.

A like is Bernoulli with log-odds b + w.x, and w ~ N(w0, C). The maximum a posteriori is
found in the dual, w = w0 + C @ X.T @ a with one credit per example, so that every score
can be shared out among the examples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from matching.features import WIDTH
from matching.preference.base import (
    FloatArray,
    LinearPreference,
    checked_examples,
    sigmoid,
)
from matching.preference.prior import Prior, cold_prior

# A dislike counts half a like, as is customary (Manning et al. 2008, 9.1.1): there are
# many reasons to dislike, and docs/ranking.md has what it is worth on real ratings.
DISLIKE_SHARE = 0.5

MAX_NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10
SMALLEST_STEP = 1e-4
ROUNDING = 1e-14
# From here on a product of the Gram matrix is much cheaper than a factorisation.
MANY_EXAMPLES = 100
MAX_CONJUGATE_STEPS = 60
CONJUGATE_TOLERANCE = 1e-5


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
        x, y, given = checked_examples(examples, liked, example_weights)
        weight = given * np.where(y, 1.0, dislike_share)
        believed = prior or cold_prior()
        sign = np.where(y, 1.0, -1.0)
        gram = believed.gram(x)
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
        spread = self.prior.covariance_times(scaled)
        root = np.sqrt(self.curvature)[:, None]
        inner = np.eye(len(root)) + root * self.prior.gram(self.examples) * root.T
        cross = root * (self.examples @ spread.T)
        known = (cross * np.linalg.solve(inner, cross)).sum(axis=0)
        remaining: FloatArray = (scaled * spread).sum(axis=1) - known
        return remaining


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
    dual, fit = start, gram @ start

    def loss(size: float) -> float:
        """At so much of the step."""
        there, its_fit = dual + size * step, fit + size * its_change
        misfit = weight @ np.logaddexp(0.0, -sign * (base + its_fit))
        return float(misfit + 0.5 * there @ its_fit)

    for _ in range(MAX_NEWTON_STEPS):
        z = base + fit
        missing = weight * sign * sigmoid(-sign * z) - dual
        if _is_nothing(missing):
            return dual
        step = _newton_step(gram, weight * sigmoid(z) * sigmoid(-z), missing)
        its_change = gram @ step
        size = _step_size(loss)
        dual, fit = dual + size * step, fit + size * its_change
        if _is_nothing(step):
            return dual
    raise ArithmeticError("the preference did not converge")


def _is_nothing(change: FloatArray) -> bool:
    return bool(np.abs(change).max(initial=0.0) < NEWTON_TOLERANCE)


def _step_size(loss: Callable[[float], float]) -> float:
    """All of the step, or as many times half of it as it takes to lose nothing."""
    size, before = 1.0, loss(0.0)
    limit = before + ROUNDING * (1.0 + abs(before))
    while size > SMALLEST_STEP and loss(size) > limit:
        size /= 2
    return size


def _newton_step(
    gram: FloatArray, curvature: FloatArray, missing: FloatArray
) -> FloatArray:
    """(I + H G)^-1 missing; of many examples by conjugate gradients, if they converge.

    = missing - H^1/2 (I + H^1/2 G H^1/2)^-1 H^1/2 G missing: what is solved is
    symmetric, and no eigenvalue of it is below 1 (Rasmussen and Williams 2006, 3.32).
    """
    if len(missing) > MANY_EXAMPLES:
        root = np.sqrt(curvature)
        # A step may be rough: the next one starts from what it missed.
        solved = _conjugate(gram, root, root * (gram @ missing))
        if solved is not None:
            return missing - root * solved
    system = np.eye(len(missing)) + curvature[:, None] * gram
    return np.asarray(np.linalg.solve(system, missing), dtype=np.float64)


def _conjugate(
    gram: FloatArray, root: FloatArray, target: FloatArray
) -> FloatArray | None:
    """(I + R G R)^-1 target, R = diag(root) (Hestenes and Stiefel 1952), or None."""
    solved, residual = np.zeros_like(target), target
    direction, square = residual, float(residual @ residual)
    enough = square * CONJUGATE_TOLERANCE**2
    for _ in range(MAX_CONJUGATE_STEPS):
        if square <= enough:
            return solved
        image = direction + root * (gram @ (root * direction))
        size = square / float(direction @ image)
        solved = solved + size * direction
        residual = residual - size * image
        before, square = square, float(residual @ residual)
        direction = residual + square / before * direction
    return None
