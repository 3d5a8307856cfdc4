"""What the product has learned of everybody's taste at a time. Pure."""

from __future__ import annotations

import numpy as np

from bench._market.population import Float32Array, FloatArray, IntArray, Market
from matching.preference.bayesian import BayesianPreference
from matching.preference.learning import learn_prior
from matching.preference.prior import Prior, cold_prior
from matching.preference.raters import Rater

# Somebody's share of likes is mixed with so many labels of the average person.
AVERAGE_LABELS = 5.0


def learned_priors(market: Market) -> list[Prior]:
    """By gender sought: from the labels that people gave before the first day."""
    return [
        learn_prior([_rater(market, person) for person in people.tolist()])
        for people in (np.flatnonzero(market.sought == gender) for gender in (0, 1))
    ]


def cold_priors(_: Market) -> list[Prior]:
    """By gender sought, before anybody gave feedback."""
    return [cold_prior(), cold_prior()]


def _rater(market: Market, person: int) -> Rater:
    rows = np.concatenate([market.anchors[person], market.judged[person]])
    liked = market.likes[person, rows]
    return Rater.of(market.features[rows].astype(np.float64), liked=liked)


class Learned:
    """Tastes by the product's own learning, and how often everybody likes.

    `weights` (N, 644) are everybody's, for the log-odds of a like.
    """

    def __init__(self, market: Market, priors: list[Prior]) -> None:
        self._market = market
        self._priors = priors
        self._labels = [rows.tolist() for rows in market.anchors]
        self._credits = [np.zeros(0)] * len(market.features)
        self.weights = np.zeros_like(market.features)
        self._judged = np.zeros(len(market.features))
        self._liked = np.zeros(len(market.features))
        for person, rows in enumerate(market.judged):
            self.see(person, rows)

    def see(self, person: int, rows: IntArray) -> None:
        """Learn from how somebody has judged these people."""
        liked = self._market.likes[person]
        self._labels[person] += rows.tolist()
        self._judged[person] += len(rows)
        self._liked[person] += liked[rows].sum()
        labels, credits = self._labels[person], self._credits[person]
        fitted = BayesianPreference.fit(
            self._market.features[labels],
            liked=liked[labels],
            prior=self._priors[self._market.sought[person]],
            start=np.pad(credits, (0, len(labels) - len(credits))),
        )
        self._credits[person] = fitted.credits
        self.weights[person] = fitted.weights

    def log_odds(self, person: int, rows: IntArray) -> FloatArray:
        """Of these being liked by somebody, (n,), as the product would score them."""
        intercept = self._priors[self._market.sought[person]].intercept
        scores = self._market.features[rows] @ self.weights[person]
        return np.asarray(intercept + scores)

    def liking(self, people: IntArray) -> Float32Array:
        """How much each of these would like everybody, in log-odds but for a constant.

        (A, N), of A people.
        """
        return np.asarray(self.weights[people] @ self._market.features.T)

    def liked_back(self, people: IntArray) -> FloatArray:
        """Log-odds that everybody likes each of these, (A, N): their taste and rate."""
        return np.asarray(self._market.features[people] @ self.weights.T + self.rates())

    def rates(self) -> FloatArray:
        """Log-odds of everybody's share of likes among those they judged, (N,)."""
        usual = self._liked.sum() / max(1.0, self._judged.sum())
        likes = self._liked + AVERAGE_LABELS * usual
        passes = self._judged - self._liked + AVERAGE_LABELS * (1 - usual)
        return np.asarray(np.log(likes / passes))
