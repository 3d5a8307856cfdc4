"""Is a prior worth it? Of people whom it was not learned from. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from matching.metrics import auc, bootstrap_interval
from matching.preference import BayesianPreference, PlainPreference, Prior
from matching.preference.learning import learn_prior
from matching.preference.raters import HALVES, Rater

PARTS: Final = 3


@dataclass(frozen=True)
class Worth:
    """Mean AUC of n tests, and the interval of what it is above the plain formula's.

    With nobody to be tested on, all are 0.
    """

    tests: int = 0
    auc: float = 0.0
    plain_auc: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def is_better(self) -> bool:
        """Whether it beats the plain formula beyond doubt."""
        return self.low > 0


def worth(raters: Sequence[Rater]) -> Worth:
    """Learn from a part of the people and half of the photos; test on others, in turn.

    Of a person tested, labels on the one half of the photos are known, those on the
    other are ranked.
    """
    pairs: list[tuple[float, float]] = []
    for half, part in product(range(HALVES), range(PARTS)):
        tested = _told([rater.divided(half) for rater in raters[part::PARTS]])
        others = [r for place, r in enumerate(raters) if place % PARTS != part]
        if tested:
            prior = learn_prior([rater.divided(half)[0] for rater in others])
            pairs += [_aucs(known, ranked, prior) for known, ranked in tested]
    if not pairs:
        return Worth()
    learned, plain = np.array(pairs).T
    low, high = bootstrap_interval(learned - plain)
    return Worth(len(pairs), float(learned.mean()), float(plain.mean()), low, high)


def _told(pairs: Sequence[tuple[Rater, Rater]]) -> list[tuple[Rater, Rater]]:
    return [pair for pair in pairs if all(rater.tells for rater in pair)]


def _aucs(known: Rater, ranked: Rater, prior: Prior) -> tuple[float, float]:
    weights = known.weights
    learned = BayesianPreference.fit(
        known.examples, liked=known.liked, example_weights=weights, prior=prior
    )
    plain = PlainPreference.fit(
        known.examples, liked=known.liked, example_weights=weights
    )
    scores = (taste.score(ranked.examples) for taste in (learned, plain))
    first, second = (auc(score, relevant=ranked.liked) for score in scores)
    return first, second
