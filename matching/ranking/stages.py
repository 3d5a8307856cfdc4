"""How much every stage counts, and the stages in the order in which they act. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from matching.preference import Preference
from matching.ranking.base import Stage
from matching.ranking.diversity import Diversity
from matching.ranking.exploration import Exploration, Uncertain
from matching.ranking.exposure import Exposure
from matching.ranking.newcomers import Newcomers
from matching.ranking.recency import Recency
from matching.ranking.reciprocity import Reciprocity

# In the order in which they act: diversity needs to know what the others have made of
# the scores, and the newcomers' places are counted last, so that nothing moves them.
STAGES = (
    "reciprocity",
    "recency",
    "exposure",
    "exploration",
    "diversity",
    "newcomers",
)


@dataclass(frozen=True)
class Weights:
    """What every stage may add, in log-odds or times log-odds; a 0 leaves it out.

    And what some of them need to know beside it. Raises ValueError unless all are
    finite, weights 0 or more and everything else above 0.
    """

    reciprocity: float = 1.0
    recency: float = 1.0
    recency_half_life_days: float = 7.0
    exposure: float = 1.75
    exposure_cap: float = 0.4  # times what the average person can expect
    exploration: float = 0.0
    diversity: float = 0.3
    newcomers: float = 2.0
    newcomer_days: float = 14.0
    newcomer_impressions: float = 100.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if (
                not math.isfinite(value)
                or value < 0
                or (not value and name not in STAGES)
            ):
                least = "0 or more" if name in STAGES else "above 0"
                raise ValueError(f"{name} must be a finite number {least}")


def build(weights: Weights, *, preference: Preference, seed: str) -> dict[str, Stage]:
    """The stages that have a weight, by name, in the order in which they act.

    Exploration needs a preference that knows its variance, and is left out of others;
    the same `seed` gives the same page.
    """
    stages: dict[str, Stage] = {
        "reciprocity": Reciprocity(weights.reciprocity),
        "recency": Recency(weights.recency, weights.recency_half_life_days),
        "exposure": Exposure(weights.exposure, weights.exposure_cap),
        "diversity": Diversity(weights.diversity),
        "newcomers": Newcomers(
            weights.newcomers, weights.newcomer_days, weights.newcomer_impressions
        ),
    }
    if isinstance(preference, Uncertain):
        stages["exploration"] = Exploration(weights.exploration, preference, seed)
    return {
        name: stages[name]
        for name in STAGES
        if name in stages and getattr(weights, name) > 0
    }
