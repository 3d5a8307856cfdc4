"""Tastes that are known: faces on which two or three labels are true at once. Pure.

The system sees what an annotator reads; the truth is what people have said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from annotation.evaluation.questions import CELEBA_VALUES
from matching.evaluation.rated import Likes, Mask, Rated
from matching.features import Sighting

MALE: Final = "Male"
LEAST_RARE, MOST_COMMON = 0.02, 0.1
# Evenly taken from all there are.
MOST_CONJUNCTIONS: Final = 80


def of_labels(
    sightings: Sequence[Sighting], labels: Sequence[Mapping[str, Any]]
) -> Rated:
    """Photos with their labels as ratings: 1 where a conjunction is true, else 0.

    A conjunction is a taste if it is true of 2 to 10 % of the photos.
    """
    truths = {
        name: np.array([bool(one[name]) for one in labels], np.bool_)
        for name in (*CELEBA_VALUES, MALE)
    }
    wanted = [
        true
        for true in _conjunctions(truths)
        if LEAST_RARE <= true.mean() <= MOST_COMMON
    ]
    step = max(1, -(-len(wanted) // MOST_CONJUNCTIONS))
    ratings = np.array(wanted[::step], np.float64).reshape(-1, len(labels))
    return Rated(sightings, np.full(len(labels), "faces"), ratings)


def _conjunctions(truths: Mapping[str, Mask]) -> Iterator[Mask]:
    for count in (2, 3):
        for names in combinations(truths, count):
            yield np.logical_and.reduce([truths[name] for name in names])


def true_or_not(data: Rated, rng: np.random.Generator) -> Iterator[Likes]:
    """Of each conjunction all photos of which it is true, and all others."""
    for taste, ratings in enumerate(data.ratings):
        true = ratings > 0
        yield Likes(
            taste,
            str(data.groups[0]),
            rng.permutation(np.flatnonzero(true)),
            rng.permutation(np.flatnonzero(~true)),
        )
