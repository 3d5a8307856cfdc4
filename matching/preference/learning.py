"""The prior of a taste, w ~ N(w0, C), learned from what many people like. Pure.

1. What all like: a ridge regression of every photo's log-odds of being liked, with
   strengths and scale by which photos left out are foretold best (`mean`).
2. How much tastes differ: the variance of each block by EM with Laplace's posteriors
   in MacKay's form, then the directions of the look along which they differ more
   (`spread`).
3. How much of the former helps those of whom little is known (`shrinkage`).

All are shrunk to the cold prior where little is known. C stays constant within an
attribute, and its factor lies within the look: guarantee 3 of docs/ranking.md holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from matching.preference.base import FloatArray
from matching.preference.mean import common_taste
from matching.preference.prior import Prior, cold_prior
from matching.preference.raters import Rater, log_odds
from matching.preference.shrinkage import shrunk
from matching.preference.spread import spread


def learn_prior(raters: Sequence[Rater]) -> Prior:
    """The prior of somebody who is not among the raters; the cold one if none tells.

    Deterministic, whatever the order of the raters. Its version names its content.
    """
    telling = sorted((r for r in raters if r.tells), key=lambda rater: rater.digest)
    if not telling:
        return cold_prior()
    begin = replace(
        cold_prior(), mean=common_taste(telling), intercept=log_odds(telling)
    )
    prior = shrunk(spread(telling, begin), telling)
    return replace(prior, version=version_of(prior))


def version_of(prior: Prior) -> str:
    """A name made of the content: equal priors have equal names."""
    parts = (prior.mean, prior.variance, prior.factor, np.array([prior.intercept]))
    content = b"".join(_bytes(part) for part in parts)
    return "p-" + hashlib.sha256(content).hexdigest()[:10]


def _bytes(part: FloatArray) -> bytes:
    return np.ascontiguousarray(part, dtype="<f8").tobytes()
