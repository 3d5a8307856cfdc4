"""To learn, show some of whom little is known: Thompson sampling (1933). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol, runtime_checkable

import numpy as np

from matching.ranking.base import Candidate, FloatArray, features_of


@runtime_checkable
class Uncertain(Protocol):
    """A preference that knows how little it knows."""

    def variance(self, features: FloatArray) -> FloatArray:
        """Variance of the log-odds (n,) of features (n, 644)."""
        ...


@dataclass(frozen=True, eq=False)
class Exploration:
    """weight * a draw from each person's own posterior, as far as it is off its mean.

    With a weight of 1 the score is a draw of the log-odds from their marginal. The same
    seed gives a person the same draw, whoever else is there: a page stays itself.
    """

    weight: float
    preference: Uncertain
    seed: str

    def __call__(self, candidates: Sequence[Candidate], _: FloatArray) -> FloatArray:
        variance = self.preference.variance(features_of(candidates))
        draws = [draw(f"{self.seed}:{c.id}") for c in candidates]
        # Rounding may leave a variance of 0 a little below it.
        deviations = np.sqrt(np.maximum(variance, 0.0))
        drawn: FloatArray = self.weight * deviations * np.array(draws)
        return drawn


def draw(key: str) -> float:
    """A standard normal number of the key: its SHA-256, as a quantile."""
    digest = hashlib.sha256(key.encode()).digest()
    # 52 bits: both ends stay inside (0, 1) in double precision.
    share = ((int.from_bytes(digest[:8]) >> 12) + 0.5) / 2**52
    return NormalDist().inv_cdf(share)
