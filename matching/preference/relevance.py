"""Which attributes the liked photos have in common, so that these count more. Pure.

Two or three attributes matter to somebody, and ten photos have chance likenesses in all
the others. Of each attribute, the share of what the liked photos show on average that
is no chance tells how far tastes may differ along it: the prior's variance is
multiplied by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from matching.features import BLOCKS, VISUAL, WIDTH
from matching.preference.base import FloatArray, checked_examples
from matching.preference.bayesian import BayesianPreference
from matching.preference.prior import Prior, cold_prior

# Of so many liked photos their likeness is believed half: from then on it is rather
# their labels that tell what matters.
HALF_BELIEVED_LIKES: Final = 50
SMALLEST_SQUARE: Final = 1e-12
ATTRIBUTES: Final = [block for name, block in BLOCKS.items() if name != VISUAL]


def fit(
    examples: FloatArray,
    *,
    liked: npt.ArrayLike,
    example_weights: npt.ArrayLike | None = None,
    prior: Prior | None = None,
) -> BayesianPreference:
    """Learn from examples (n, 644) by the prior that their likeness makes of `prior`.

    Raises ValueError if the shapes disagree or a weight is negative.
    """
    x, y, weights = checked_examples(examples, liked, example_weights)
    believed = prior or cold_prior()
    share = relevance(x[y], weights=weights[y])
    return BayesianPreference.fit(
        x,
        liked=y,
        example_weights=weights,
        prior=replace(believed, variance=believed.variance * share),
    )


def relevance(liked: FloatArray, *, weights: FloatArray) -> FloatArray:
    """Of every feature, (644,), how much of its variance is left, in (0, 1].

    Of liked photos (n, 644) with weights (n,). The same within an attribute; 1 of the
    look, and of an attribute that fewer than two of them show.
    """
    left = np.ones(WIDTH)
    for block in ATTRIBUTES:
        x = liked[:, block]
        shown = x.any(axis=1) & (weights > 0)
        if shown.sum() > 1:
            left[block] = _left(x[shown], weights[shown])
    return left


def _left(x: FloatArray, weights: FloatArray) -> float:
    """Of one attribute, of photos that show it (James and Stein 1961, positive part).

    1 - t * min(1, e / |m|^2) with the mean m, its expected square error e, and t =
    50 / (n + 50).
    """
    share = weights / weights.sum()
    chance = float(share @ share)  # 1 / n of n equal weights
    if chance == 1:  # all but one are too light to be counted
        return 1.0
    mean = share @ x
    spread = float(share @ ((x - mean) ** 2).sum(axis=1))
    error = spread * chance / (1 - chance)
    trust = HALF_BELIEVED_LIKES / (1 / chance + HALF_BELIEVED_LIKES)
    return 1 - trust * min(1.0, error / max(float(mean @ mean), SMALLEST_SQUARE))
