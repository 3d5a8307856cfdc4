"""How much tastes differ: C, from the posteriors of many people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from matching.features import BLOCKS, VISUAL, WIDTH
from matching.preference.base import FloatArray
from matching.preference.bayesian import BayesianPreference
from matching.preference.prior import Prior, cold_prior
from matching.preference.raters import Rater, log_odds

ROUNDS: Final = 4
# In each block, as if so many weights were known and were as the cold prior says.
COLD_WEIGHTS: Final = 20.0
# So many photos are believed half: fewer show too few looks to tell how tastes differ.
HALF_BELIEVED_PHOTOS: Final = 300
# More would change little and take long.
MOST_RATERS: Final = 150
# How many directions of the look may have a variance of their own.
RANK: Final = 4
LOOK: Final = BLOCKS[VISUAL]


@dataclass(frozen=True, eq=False)
class Posterior:
    """One rater's: what they like beyond w0, (644,), and how much of it is known.

    `precision` (n, n) and `examples` (n, 644): the data tell X.T @ precision @ X.
    """

    deviation: FloatArray
    precision: FloatArray
    examples: FloatArray
    credits: FloatArray

    @property
    def known(self) -> FloatArray:
        """Of every feature, what the data tell per unit of its variance, (644,)."""
        told: FloatArray = (self.examples * (self.precision @ self.examples)).sum(0)
        return told


def spread(raters: Sequence[Rater], begin: Prior) -> Prior:
    """The prior with variances and a factor learned; its mean stays as it is.

    In the scale of logarithms they are as far from the cold prior's as the number of
    photos allows.
    """
    chosen = raters[:: -(-len(raters) // MOST_RATERS)]
    prior, posteriors = begin, list(_posteriors(chosen, begin))
    for _ in range(ROUNDS):
        prior = replace(prior, variance=_variances(prior, posteriors))
        posteriors = list(_posteriors(chosen, prior, posteriors))
    photos = len({x.tobytes() for rater in raters for x in rater.examples})
    trust = photos / (photos + HALF_BELIEVED_PHOTOS)
    variance = begin.variance ** (1 - trust) * prior.variance**trust
    factor = np.sqrt(trust) * _factor(prior, posteriors)
    return replace(prior, variance=variance, factor=factor)


def _posteriors(
    raters: Sequence[Rater], prior: Prior, before: Sequence[Posterior] | None = None
) -> Iterator[Posterior]:
    for place, rater in enumerate(raters):
        fitted = BayesianPreference.fit(
            rater.examples,
            liked=rater.liked,
            example_weights=rater.weights,
            prior=replace(prior, intercept=log_odds([rater])),
            start=before[place].credits if before else None,
        )
        root = np.sqrt(fitted.curvature)
        inner = np.eye(len(root)) + root[:, None] * prior.gram(rater.examples) * root
        precision = root[:, None] * np.linalg.inv(inner) * root
        yield Posterior(
            fitted.learned_weights, precision, rater.examples, fitted.credits
        )


def _variances(prior: Prior, posteriors: Sequence[Posterior]) -> FloatArray:
    """Of each block sum |deviation|^2 / sum of weights known (MacKay 1992, 4.3)."""
    square = sum((one.deviation**2 for one in posteriors), np.zeros(WIDTH))
    known = sum((prior.variance * one.known for one in posteriors), np.zeros(WIDTH))
    cold, learned = cold_prior().variance, np.zeros(WIDTH)
    for block in BLOCKS.values():
        evidence = COLD_WEIGHTS + known[block].sum()
        told = COLD_WEIGHTS * cold[block][0] + square[block].sum()
        learned[block] = told / evidence
    return learned


def _factor(prior: Prior, posteriors: Sequence[Posterior]) -> FloatArray:
    """Directions of the look along which tastes differ more than in the others.

    Found among every other rater and measured on the rest: who is chosen for being
    large is not believed.
    """
    factor = np.zeros((WIDTH, RANK))
    found, measured = posteriors[::2], posteriors[1::2]
    if not measured:
        return factor[:, :0]
    deviations = np.array([one.deviation[LOOK] for one in found])
    directions = np.linalg.svd(deviations, full_matrices=False)[2][:RANK]
    variance = float(prior.variance[LOOK][0])
    for column, direction in enumerate(directions):
        excess = _along(direction, variance, measured) - variance
        factor[LOOK, column] = np.sqrt(max(0.0, excess)) * direction
    return factor[:, factor.any(axis=0)]


def _along(
    direction: FloatArray, variance: float, posteriors: Sequence[Posterior]
) -> float:
    """The variance of the look along a unit vector (512,), as `_variances`."""
    square, known = 0.0, 0.0
    for one in posteriors:
        seen = one.examples[:, LOOK] @ direction
        square += float(one.deviation[LOOK] @ direction) ** 2
        known += variance * float(seen @ one.precision @ seen)
    return (COLD_WEIGHTS * variance + square) / (COLD_WEIGHTS + known)
