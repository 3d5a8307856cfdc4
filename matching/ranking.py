"""From candidates to people in order. Pure.

The score of a candidate is a sum on the log-odds scale: the preference, then what every
further stage adds. An order is complete: equal scores are ordered by id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from matching.preference import Preference, sigmoid

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A person who may be shown, with their features (644,) as they are stored."""

    id: str
    features: FloatArray


# Given the candidates and their scores so far, what each of them gains, (n,).
Stage = Callable[[Sequence[Candidate], FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Ranked:
    """A candidate with their log-odds of being liked, and each stage's addend."""

    candidate: Candidate
    preference: float
    stages: Mapping[str, float]

    @property
    def score(self) -> float:
        """What the order goes by, in log-odds."""
        return self.preference + sum(self.stages.values())

    @property
    def match_score(self) -> float:
        """Probability of a like by the preference alone, whoever else is there."""
        return float(sigmoid(np.array(self.preference)))

    @property
    def position(self) -> tuple[float, str]:
        """Where it stands: sorts best first, and never equal to another's."""
        return -self.score, self.candidate.id


def rank(
    candidates: Sequence[Candidate],
    *,
    preference: Preference,
    stages: Mapping[str, Stage] | None = None,
) -> list[Ranked]:
    """Everybody given, best first; the stages act in their order."""
    if not candidates:
        return []
    liking = preference.score(np.stack([c.features for c in candidates]))
    addends: dict[str, FloatArray] = {}
    for name, stage in (stages or {}).items():
        addends[name] = stage(candidates, sum(addends.values(), start=liking))
    ranked = [
        Ranked(c, float(liking[i]), {name: float(x[i]) for name, x in addends.items()})
        for i, c in enumerate(candidates)
    ]
    return sorted(ranked, key=lambda r: r.position)
