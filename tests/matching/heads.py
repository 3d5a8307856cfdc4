"""Heads for tests, as if they had been trained."""

from __future__ import annotations

import numpy as np

from matching import heads
from matching.features import VISUAL_WIDTH
from matching.models import Head
from matching.projection import HeadWeights

ANNOTATOR = "fake:fake-1"
BEFORE = {"recall_at_1": 0.5, "map_at_r": 0.25}


def weights(seed: int = 0, width: int = VISUAL_WIDTH) -> HeadWeights:
    """A small head that mixes everything."""
    rng = np.random.default_rng(seed)
    outward = [(16, VISUAL_WIDTH), (VISUAL_WIDTH,)]
    shapes = [(width, 16), *[(16,)] * 3, *outward]
    return HeadWeights(*(rng.normal(size=s).astype(np.float32) for s in shapes))


def head(
    seed: int = 0,
    *,
    width: int = VISUAL_WIDTH,
    annotator: str = ANNOTATOR,
    rival: str = "identity",
    **headlines: float,
) -> Head:
    """A kept head, measured beside `rival`; a little better unless told otherwise."""
    better = {name: value + 0.01 for name, value in BEFORE.items()} | headlines
    return heads.keep(
        weights(seed, width),
        annotator=annotator,
        triplets="identity",
        metrics={"headlines": better, "beside": {rival: BEFORE}},
    )
