"""Would they like you? Their filters are hard, and applied long before. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from matching.ranking.base import Candidate, FloatArray


@dataclass(frozen=True)
class Reciprocity:
    """weight * the log-odds that they like the viewer.

    The odds of both are multiplied, theirs to the power `weight`: their weighted
    geometric mean, but for the root, which changes no order (Pizzato et al. 2010 take
    the harmonic mean). Of whom nothing is known gets the mean of the known: no
    advantage, and no penalty.
    """

    weight: float

    def __call__(self, candidates: Sequence[Candidate], _: FloatArray) -> FloatArray:
        known = [c.liked_back for c in candidates if c.liked_back is not None]
        usual = float(np.mean(known)) if known else 0.0
        back = [usual if c.liked_back is None else c.liked_back for c in candidates]
        return self.weight * np.array(back)
