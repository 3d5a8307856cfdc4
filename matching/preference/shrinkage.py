"""How much of what all like helps those who have shown ten photos. Pure.

What all like may be right on average and wrong for everybody: where each wants some
rare thing of their own, the mean of all tastes wants a little of each thing. So its
share is chosen by people and photos that it was not learned from, as searches use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np

from matching.metrics import auc
from matching.preference import relevance
from matching.preference.base import FloatArray
from matching.preference.mean import common_taste
from matching.preference.prior import Prior
from matching.preference.raters import HALVES, Rater

SHARES: Final = (1.0, 0.5, 0.25, 0.125, 0.0)
KNOWN: Final = 5  # liked, and as many disliked
# More would tell little more of one number, and take long.
MOST_TESTED: Final = 150
DRAW: Final = 1  # of the halves: not that by which the whole prior is tested


def shrunk(prior: Prior, raters: Sequence[Rater]) -> Prior:
    """The prior with the share of its mean by which a few labels foretell others best.

    By the mean AUC of people, of whom five likes and five dislikes at most are known on
    one half of the photos; labels on the other half are ranked. As it is if there is
    nobody to ask.
    """
    if not prior.mean.any():
        return prior
    found = np.array([_aucs(*test) for test in _tests(prior, raters)])
    return replace(prior, mean=_best(found) * prior.mean) if len(found) else prior


def _best(found: FloatArray) -> float:
    """The largest share that is as good as the best but for a standard error.

    Of AUCs (n, 5), by the differences of one test (Breiman et al. 1984, 3.4.3).
    """
    behind = found[:, [found.mean(axis=0).argmax()]] - found
    error = behind.std(axis=0) / np.sqrt(len(behind))
    return SHARES[int((behind.mean(axis=0) <= error).argmax())]


def _tests(
    prior: Prior, raters: Sequence[Rater]
) -> Iterator[tuple[Prior, Rater, Rater]]:
    """A prior, what is known of somebody that it has not learned from, and the rest."""
    for half, part in product(range(HALVES), range(HALVES)):
        teaching = [rater.divided(half, draw=DRAW)[0] for rater in raters[part::HALVES]]
        telling = [rater for rater in teaching if rater.tells]
        if not telling:
            continue
        learned = replace(prior, mean=common_taste(telling))
        others = raters[1 - part :: HALVES]
        for rater in others[:: max(1, -(-len(others) // MOST_TESTED))]:
            known, ranked = rater.divided(half, draw=DRAW)
            if known.tells and ranked.tells:
                yield learned, known.few(KNOWN), ranked


def _aucs(prior: Prior, known: Rater, ranked: Rater) -> FloatArray:
    """With each share of the mean, (5,)."""
    priors = (replace(prior, mean=share * prior.mean) for share in SHARES)
    tastes = (
        relevance.fit(
            known.examples,
            liked=known.liked,
            example_weights=known.weights,
            prior=believed,
        )
        for believed in priors
    )
    scores = (taste.score(ranked.examples) for taste in tastes)
    return np.array([auc(score, relevant=ranked.liked) for score in scores])
