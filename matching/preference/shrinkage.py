"""How much of what all like helps those who have shown ten photos. Pure.

What all like may be right on average and wrong for everybody: where each wants some
rare thing of their own, the mean of all tastes wants a little of each thing. So its
share is chosen by people and photos that it was not learned from, as searches use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from matching.features import WIDTH
from matching.metrics import auc
from matching.preference import relevance
from matching.preference.base import FloatArray
from matching.preference.mean import common_taste
from matching.preference.prior import Prior
from matching.preference.raters import HALVES, Rater

SHARES: Final = (1.0, 0.5, 0.25, 0.125, 0.0)
KNOWN: Final = 5  # liked, and as many disliked
# Fewer people tell nothing; more tell little more of one number, and take long.
LEAST_TESTED, MOST_TESTED = 10, 150
DRAW: Final = 1  # of the halves: not that by which the whole prior is tested


def shrunk(prior: Prior, raters: Sequence[Rater]) -> Prior:
    """The prior with the share of its mean by which a few labels foretell others best.

    By the mean AUC of people, of whom five likes and five dislikes at most are known on
    one half of the photos; labels on the other half are ranked. Who is asked has not
    taught the mean, nor have these photos; the covariance is everybody's. As it is if
    fewer than ten people can be asked, or their means are 0.
    """
    if not prior.mean.any():
        return prior
    found = [
        aucs
        for part in range(HALVES)
        for aucs in _aucs_of_people(
            prior, raters[part::HALVES], raters[1 - part :: HALVES]
        )
    ]
    if len(found) < LEAST_TESTED:
        return prior
    return replace(prior, mean=_best(np.array(found)) * prior.mean + 0.0)


def _best(found: FloatArray) -> float:
    """The largest share that is as good as the best but for a standard error.

    Of AUCs (people, 5), by their differences within people: as Breiman et al. (1984,
    3.4.3) take the simplest tree, but for their error, which is the best one's own.
    """
    behind = found[:, [found.mean(axis=0).argmax()]] - found
    error = behind.std(axis=0, ddof=1) / np.sqrt(len(behind))
    return SHARES[int((behind.mean(axis=0) <= error).argmax())]


def _aucs_of_people(
    prior: Prior, teachers: Sequence[Rater], others: Sequence[Rater]
) -> list[FloatArray]:
    """Of each of the others who can be asked, with each share of the mean, (5,)."""
    priors = [
        replace(
            prior, mean=_mean([one.divided(half, draw=DRAW)[0] for one in teachers])
        )
        for half in range(HALVES)
    ]
    people = (_asked(rater, priors) for rater in others[:MOST_TESTED])
    return [own for own in people if own is not None]


def _mean(raters: Sequence[Rater]) -> FloatArray:
    """What those of these have in common who tell."""
    telling = [rater for rater in raters if rater.tells]
    return common_taste(telling) if telling else np.zeros(WIDTH)


def _asked(rater: Rater, priors: Sequence[Prior]) -> FloatArray | None:
    """Mean AUCs (5,) of the halves of the photos, by their priors; None if of none."""
    found = []
    for half, prior in enumerate(priors):
        known, ranked = rater.divided(half, draw=DRAW)
        if prior.mean.any() and known.tells and ranked.tells:
            found.append(_aucs(prior, known.few(KNOWN), ranked))
    return np.mean(found, axis=0) if found else None


def _aucs(prior: Prior, known: Rater, ranked: Rater) -> FloatArray:
    """With each share of the mean, (5,), as a search by these photos would rank."""
    priors = (replace(prior, mean=share * prior.mean) for share in SHARES)
    tastes = (
        relevance.fit(known.examples, liked=known.liked, prior=believed)
        for believed in priors
    )
    scores = (taste.score(ranked.examples) for taste in tastes)
    return np.array([auc(score, relevant=ranked.liked) for score in scores])
