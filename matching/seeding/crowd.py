"""Many one-photo people at once: their vectors, and how near their nearest one is.

The same numbers as `matching.features` gives for one person at a time. Pure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotation.schema import SCHEMA, Kind
from matching.features import (
    MIN_VISIBILITY,
    SIZES,
    STORED_WIDTH,
    WIDTH,
    FeatureSpace,
    HalfArray,
    centre,
)
from matching.projection import Projection
from matching.seeding.likeness import FloatArray, Readings

DECIMALS = 3


def features(space: FeatureSpace, photos: Readings, project: Projection) -> FloatArray:
    """`person_features` of n people with one photo each, (n, 644)."""
    embeddings = project(photos.features)
    visual = space.alpha * (embeddings - space.visual_mean) / (1 + space.shrinkage)
    phi = centre(space, photos.p, photos.seen) @ space.basis
    phi /= np.repeat(photos.seen, SIZES, axis=1) + space.shrinkage
    return np.hstack([visual, phi])


def packed(space: FeatureSpace, rows: FloatArray) -> HalfArray:
    """`pack` of n people, (n, 768)."""
    stored = np.zeros((len(rows), STORED_WIDTH), dtype=np.float16)
    stored[:, :WIDTH] = rows
    square = (stored.astype(np.float64) ** 2).sum(axis=1)
    stored[:, WIDTH] = np.sqrt(np.maximum(0.0, space.radius**2 - square))
    return stored


def presence(photos: Readings) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """`person_presence` of n people: p (n, 132), and of what it is known (n, 20)."""
    is_one = np.array([a.kind is Kind.ONE for a in SCHEMA])
    known = photos.seen >= MIN_VISIBILITY
    mass = np.where(known & is_one, photos.seen, 1.0)
    return photos.p / np.repeat(mass, SIZES, axis=1), known


class Nearest:
    """Distance of some people to the nearest of all the others, who come in batches."""

    def __init__(self, people: FloatArray) -> None:
        self.people = people
        self._rows = people.astype(np.float32)
        self._square = (self._rows**2).sum(axis=1)
        self._nearest = np.full(len(people), np.inf, dtype=np.float32)
        self._seen = 0

    def see(self, batch: FloatArray) -> None:
        """The next people, (n, 644); the very first are those that are asked about."""
        rows = batch.astype(np.float32)
        square = self._square[:, None] + (rows**2).sum(axis=1)
        square -= 2 * self._rows @ rows.T
        own = np.arange(self._seen, min(self._seen + len(rows), len(self._rows)))
        square[own, own - self._seen] = np.inf
        self._nearest = np.minimum(self._nearest, square.min(axis=1))
        self._seen += len(rows)

    def distances(self) -> dict[str, float]:
        """How many people there are, and percentiles in units of the feature space."""
        distance = np.sqrt(np.maximum(self._nearest, 0))
        return {"people": self._seen} | percentiles(distance)


def among_themselves(people: FloatArray) -> dict[str, float]:
    """How near each of these people's nearest is, of rows (n, 644)."""
    nearest = Nearest(people)
    nearest.see(people)
    return nearest.distances()


def percentiles(distances: npt.NDArray[np.floating]) -> dict[str, float]:
    """p10, median and p90, for people to read."""
    low, middle, high = np.percentile(distances, [10, 50, 90]).round(DECIMALS).tolist()
    return {"p10": low, "median": middle, "p90": high}
