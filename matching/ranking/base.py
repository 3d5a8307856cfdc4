"""What is ranked, and how: the preference, then what every stage adds. Pure.

The score of a candidate is a sum on the log-odds scale. An order is complete: equal
scores are ordered by id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt

from matching.preference import Preference, sigmoid

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Log-odds from the median of those ranked together: less sets nobody apart.
LEAST_SAID = 0.1

# From log-odds by the preference alone, (n,), to probabilities of a like, (n,).
Calibrate = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A person who may be shown, with their features (644,) as they are stored.

    `liked_back` are the log-odds that they like the viewer, None if nothing is known
    of their taste. `expected_likes` is how many they can expect as things go, in
    times what the average person can,
    `impressions` how often they have been shown, `age_days` how long they are here.
    What is not given adds nothing: the stages' zero points are the defaults.
    """

    id: str
    features: FloatArray
    liked_back: float | None = None
    inactive_days: float = math.inf
    expected_likes: float = 0.0
    impressions: int = 0
    age_days: float = math.inf


# Given the candidates and their scores so far, (n,), what each of them gains, (n,).
Stage = Callable[[Sequence[Candidate], FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Ranked:
    """A candidate with their log-odds of being liked, and each stage's addend.

    `match_score` is the probability of a like by the preference alone: it does not
    depend on who else is there. Stages that are `unsaid` add what is usual among those
    ranked together, or know nothing of this very person: no reason for them.
    """

    candidate: Candidate
    preference: float
    match_score: float
    stages: Mapping[str, float]
    unsaid: frozenset[str] = frozenset()

    @property
    def score(self) -> float:
        """What the order goes by, in log-odds."""
        return sum(self.stages.values(), start=self.preference)

    @property
    def position(self) -> tuple[float, str]:
        """Where it stands: sorts best first, and never equal to another's."""
        return -self.score, self.candidate.id


def rank(
    candidates: Sequence[Candidate],
    *,
    preference: Preference,
    stages: Mapping[str, Stage] | None = None,
    calibrate: Calibrate = sigmoid,
) -> list[Ranked]:
    """Everybody given, best first; the stages act in their order."""
    if not candidates:
        return []
    liking = preference.score(features_of(candidates))
    addends: dict[str, FloatArray] = {}
    for name, stage in (stages or {}).items():
        addends[name] = stage(candidates, sum(addends.values(), start=liking))
    said = {name: _sets_apart(gained) for name, gained in addends.items()}
    if "reciprocity" in said:
        said["reciprocity"] &= np.array([c.liked_back is not None for c in candidates])
    return _in_order(candidates, liking, calibrate(liking), addends, said)


def _in_order(
    candidates: Sequence[Candidate],
    liking: FloatArray,
    chances: FloatArray,
    addends: Mapping[str, FloatArray],
    said: Mapping[str, BoolArray],
) -> list[Ranked]:
    """Best first, of everything by candidate, (n,) each."""
    shape = (len(addends), len(candidates))
    amounts = np.array([*addends.values()]).reshape(shape).T.tolist()
    hidden = ~np.array([*said.values()], dtype=np.bool_).reshape(shape).T
    # Lists, as to take one number from an array is ten times as slow.
    everybody = zip(
        *(candidates, liking.tolist(), chances.tolist(), amounts, hidden.tolist()),
        strict=True,
    )
    ranked = [
        Ranked(
            candidate,
            preference=log_odds,
            match_score=chance,
            stages=dict(zip(addends, gained, strict=True)),
            unsaid=frozenset(compress(addends, unsaid)),
        )
        for candidate, log_odds, chance, gained, unsaid in everybody
    ]
    return sorted(ranked, key=lambda r: r.position)


def _sets_apart(gained: FloatArray) -> BoolArray:
    """Of whom (n,) it is a reason: what all gain alike says nothing of anybody."""
    apart: BoolArray = np.abs(gained - np.median(gained)) >= LEAST_SAID
    return apart


def features_of(candidates: Sequence[Candidate]) -> FloatArray:
    """Their features, (n, 644)."""
    # Twice as quick as to stack them.
    joined = np.concatenate([candidate.features for candidate in candidates])
    return joined.reshape(len(candidates), -1)


def by_score(candidates: Sequence[Candidate], scores: FloatArray) -> list[int]:
    """The indices of the candidates, best first; equal scores by id."""
    return sorted(range(len(scores)), key=lambda i: (-scores[i], candidates[i].id))
