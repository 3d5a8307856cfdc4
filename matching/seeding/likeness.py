"""Readings of photos that were never taken, of people who are like real ones.

Two photos of one person differ. How much is measured in a space without bounds:
features as they are, visibilities and independent values as log-odds, exclusive values
as logs. A new reading is a real one, pulled towards the average, plus a random mixture
of such differences: noise of their covariance and with their long tails. The pull gives
every coordinate the variance it has among real people. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.schema import NOT_VISIBLE, SCHEMA, Attributes, Kind
from matching.features import (
    ATTRIBUTE_WIDTH,
    MIN_VISIBILITY,
    SIZES,
    VALUE_SLICES,
    probabilities,
)

FloatArray = npt.NDArray[np.float64]

# Below this an annotator only says "no": smaller numbers are not told apart.
FLOOR = 0.001
DECIMALS = 4
# Differences in one mixture. More make it Gaussian, and a crowd of CelebA's people less
# dense than they are; a single one leaves too many who are nearly copies.
MIXED = 2

IS_MANY = np.repeat([a.kind is Kind.MANY for a in SCHEMA], SIZES)


@dataclass(frozen=True, eq=False)
class Readings:
    """n photos: `p` (n, 132), `seen` (n, 20), `features` (n, width) of unit length."""

    p: FloatArray
    seen: FloatArray
    features: FloatArray

    def __len__(self) -> int:
        return len(self.p)

    def __getitem__(self, rows: Any) -> Readings:
        return Readings(self.p[rows], self.seen[rows], self.features[rows])

    def attributes(self) -> list[dict[str, dict[str, float]]]:
        """Each photo in the words of the schema."""
        rows = zip(self.p.tolist(), self.seen.tolist(), strict=True)
        return [_in_words(p, seen) for p, seen in rows]

    def stored(self) -> Readings:
        """As they will be read back: four decimals, and features as float16."""
        return Readings(
            self.p.round(DECIMALS),
            1 - (1 - self.seen).round(DECIMALS),
            self.features.astype(np.float16).astype(np.float64),
        )


def _in_words(p: list[float], seen: list[float]) -> dict[str, dict[str, float]]:
    return {
        a.name: {
            NOT_VISIBLE: 1 - visible,
            **dict(zip(a.values, p[VALUE_SLICES[a.name]], strict=True)),
        }
        for a, visible in zip(SCHEMA, seen, strict=True)
    }


def readings(attributes: Iterable[Attributes], features: npt.ArrayLike) -> Readings:
    """The numbers of n annotations; features are brought to unit length."""
    p, seen = probabilities(attributes)
    return Readings(p, seen, _unit(np.asarray(features, dtype=np.float64)))


@dataclass(frozen=True, eq=False)
class Likeness:
    """How readings vary, in width + 20 + 132 coordinates without bounds.

    `scatter` (n, coordinates): the mean of d @ d.T over its rows d is the covariance
    within one person.
    `pull` (coordinates,) in [0, 1]: what is kept of the distance to the `mean`.
    """

    mean: FloatArray
    pull: FloatArray
    scatter: FloatArray


def likeness(first: Readings, second: Readings) -> Likeness:
    """Measured on two photos of each of n people.

    The covariance within is half that of the differences of pairs; a value counts where
    both photos show its attribute. pull**2 = 1 - within / total.
    """
    both = np.minimum(first.seen, second.seen) >= MIN_VISIBILITY
    one, other = _unbounded(first), _unbounded(second)
    scatter = (one - other) / np.sqrt(2)
    scatter[:, -ATTRIBUTE_WIDTH:] *= np.repeat(both, SIZES, axis=1)
    everything = np.vstack([one, other])
    total = everything.var(axis=0)
    within = (scatter**2).mean(axis=0)
    kept = 1 - np.divide(within, total, out=np.zeros_like(total), where=total > 0)
    return Likeness(
        mean=everything.mean(axis=0),
        pull=np.sqrt(np.clip(kept, 0, 1)),
        scatter=scatter,
    )


def vary(real: Readings, like: Likeness, rng: np.random.Generator) -> Readings:
    """One new reading around each real one; what is never seen there stays unseen."""
    moved = like.mean + like.pull * (_unbounded(real) - like.mean)
    for _ in range(MIXED):
        weight = rng.standard_normal((len(real), 1)) / np.sqrt(MIXED)
        moved += weight * like.scatter[rng.integers(len(like.scatter), size=len(real))]
    width = real.features.shape[1]
    features, visibility, values = np.split(moved, [width, width + len(SCHEMA)], axis=1)
    seen = _sigmoid(visibility) * (real.seen > FLOOR)
    p = _conditional(values) * np.repeat(seen, SIZES, axis=1)
    return Readings(p, seen, _unit(features))


def _unbounded(photos: Readings) -> FloatArray:
    """(n, width + 20 + 132), in which Gaussian noise can do no harm."""
    visible = np.repeat(photos.seen, SIZES, axis=1)
    share = np.clip(photos.p / np.maximum(visible, FLOOR), FLOOR, 1 - FLOOR)
    values = np.log(share) - np.where(IS_MANY, np.log1p(-share), 0.0)
    seen = np.clip(photos.seen, FLOOR, 1 - FLOOR)
    return np.hstack([photos.features, np.log(seen) - np.log1p(-seen), values])


def _conditional(values: FloatArray) -> FloatArray:
    """Probability of every value where its attribute is seen, (n, 132)."""
    p = _sigmoid(values)
    for attribute in SCHEMA:
        if attribute.kind is Kind.ONE:
            block = values[:, VALUE_SLICES[attribute.name]]
            weight = np.exp(block - block.max(axis=1, keepdims=True))
            p[:, VALUE_SLICES[attribute.name]] = weight / weight.sum(
                axis=1, keepdims=True
            )
    return p


def _sigmoid(x: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-np.clip(x, -50, 50)))


def _unit(rows: FloatArray) -> FloatArray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = rows / np.where(length == 0, 1.0, length)
    return unit
