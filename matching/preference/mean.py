"""What people like in common: w0, from every photo's share of likes. Pure.

A photo that many have labelled says little more than one that some have: what it has
beyond its features, all of them have seen. So photos are the sample, not labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from matching.features import BLOCKS, VISUAL
from matching.preference.base import FloatArray
from matching.preference.prior import cold_prior
from matching.preference.raters import HALF, Rater, log_odds

# Correlation of a photo's labels beyond its features: ten labels count half of what
# they would, endless ones as many as ten (Williams 1982).
OVERDISPERSION: Final = 0.1
# Prior variances to choose from, in units of the cold prior's: of all, and of the look
# beside the attributes.
STRENGTHS: Final = tuple(2.0**power for power in range(-14, 5))
LOOKS: Final = (0.1, 0.3, 1.0, 3.0)
# As if as many people had been asked who have nothing in common.
COLD_RATERS: Final = 5
# Standard errors below which what is common to all is not believed.
DOUBT: Final = 3.0
TINY: Final = 1e-12
# Of the largest squared singular value: below it there is only rounding.
SMALLEST_SHARE: Final = 1e-10


@dataclass(frozen=True, eq=False)
class Photos:
    """p photos: features (p, 644), and what was said of each, both (p,).

    `appeal` are the log-odds of a like beyond those by the shares of likes of the
    people who labelled it, `weight` the inverse of its variance.
    """

    features: FloatArray
    appeal: FloatArray
    weight: FloatArray


@dataclass(frozen=True, eq=False)
class Ridge:
    """Weights (644,), and what each photo is worth by those of all others, (p,)."""

    weights: FloatArray
    left_out: FloatArray
    error: float


def common_taste(raters: Sequence[Rater]) -> FloatArray:
    """w0, (644,): 0 where what others like says nothing about a photo left out."""
    photos = pooled(raters)
    best = min(
        (ridge for look in LOOKS for ridge in _ridges(photos, look)),
        key=lambda ridge: ridge.error,
    )
    trust = len(raters) / (len(raters) + COLD_RATERS)
    return trust * _scale(photos, best.left_out) * best.weights


def pooled(raters: Sequence[Rater]) -> Photos:
    """Every photo once, with the weights of its likes and dislikes."""
    place: dict[bytes, int] = {}
    rows = [
        [place.setdefault(x.tobytes(), len(place)) for x in rater.examples]
        for rater in raters
    ]
    counts = np.zeros((3, len(place)))
    features = np.zeros((len(place), raters[0].examples.shape[1]))
    for rater, at in zip(raters, rows, strict=True):
        features[at] = rater.examples
        np.add.at(counts[0], at, rater.weights * rater.liked)
        np.add.at(counts[1], at, rater.weights * ~rater.liked)
        np.add.at(counts[2], at, rater.weights * log_odds([rater]))
    likes, dislikes, offsets = counts
    labels = likes + dislikes
    expected = offsets / np.maximum(labels, TINY)
    appeal = np.log((likes + HALF) / (dislikes + HALF)) - expected
    share = (likes + HALF) / (labels + 2 * HALF)
    counted = labels / (1 + OVERDISPERSION * np.maximum(labels - 1, 0))
    weight = counted * share * (1 - share)
    return Photos(features, appeal, weight)


def _ridges(photos: Photos, look: float) -> list[Ridge]:
    """A regression of each strength; those left out by the hat matrix (Allen 1974)."""
    variance = cold_prior().variance.copy()
    variance[BLOCKS[VISUAL]] *= look
    root, spread = np.sqrt(photos.weight), np.sqrt(variance)
    mean = np.average(photos.appeal, weights=photos.weight)
    target = root * (photos.appeal - mean)
    scaled = root[:, None] * photos.features * spread
    u, squares = _decomposed(scaled)
    along, leverages = u.T @ target, u**2
    found = []
    for strength in STRENGTHS:
        kept = 1 / (squares + 1 / strength)
        fitted = u @ (squares * kept * along)
        residual = (target - fitted) / (1 - leverages @ (squares * kept))
        left_out = photos.appeal - mean - residual / np.maximum(root, TINY)
        weights = spread * (scaled.T @ (u @ (kept * along)))
        found.append(Ridge(weights, left_out, float(residual @ residual)))
    return found


def _decomposed(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Left singular vectors (n, k) and squared singular values (k,) of rows (n, m).

    By the eigenvectors of the smaller side, which is much faster.
    """
    count, width = rows.shape
    if count <= width:
        squares, u = np.linalg.eigh(rows @ rows.T)
        return u, np.maximum(squares, 0.0)
    squares, v = np.linalg.eigh(rows.T @ rows)
    real = squares > SMALLEST_SHARE * squares[-1]
    return rows @ v[:, real] / np.sqrt(squares[real]), squares[real]


def _scale(photos: Photos, left_out: FloatArray) -> float:
    """By how much to multiply, so that the appeal of photos left out is right.

    The slope of appeal on `left_out`, shrunk to 0 at three standard errors (positive
    part of James and Stein 1961): the strength was chosen among many by these photos.
    """
    square = float(photos.weight @ left_out**2)
    if square == 0:
        return 0.0
    centred = photos.appeal - np.average(photos.appeal, weights=photos.weight)
    slope: float = float(photos.weight @ (left_out * centred)) / square
    residual = centred - slope * left_out
    degrees = max(1, int(np.count_nonzero(photos.weight)) - 2)
    variance = float(photos.weight @ residual**2) / degrees / square
    if slope <= 0:
        return 0.0
    doubt: float = DOUBT**2 * variance / slope**2
    return slope * max(0.0, 1 - doubt)
