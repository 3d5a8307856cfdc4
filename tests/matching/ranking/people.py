"""Candidates for tests, by what of them matters there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import Generator

from matching.features import WIDTH
from matching.preference.base import FloatArray
from matching.ranking.base import Candidate, Ranked


def person(name: str, first_feature: float = 0.0, **known: Any) -> Candidate:
    """Somebody of whom only the first feature shows, and what else is given."""
    return Candidate(name, first_feature * np.eye(1, WIDTH)[0], **known)


def crowd(rng: Generator, count: int) -> list[Candidate]:
    """Anybody: of all kinds, of some of whom little is known."""
    return [
        Candidate(
            f"p{number:03}",
            rng.normal(size=WIDTH) / 9,
            liked_back=None if rng.random() < 0.2 else float(rng.normal()),
            inactive_days=float(rng.exponential(10.0)),
            expected_likes=float(rng.exponential(5.0)),
            impressions=int(rng.integers(0, 200)),
            age_days=float(rng.exponential(20.0)),
        )
        for number in range(count)
    ]


def names(ranked: Sequence[Ranked]) -> list[str]:
    return [r.candidate.id for r in ranked]


def zeros(candidates: Sequence[Candidate]) -> FloatArray:
    return np.zeros(len(candidates))
