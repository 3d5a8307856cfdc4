"""What the average person looks like: the feature space of a population. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from annotation.schema import SCHEMA, Kind
from matching.features import (
    SIZES,
    VALUE_SLICES,
    VISUAL_WIDTH,
    FeatureSpace,
    Sighting,
    centre,
    embedding_matrix,
    photo_matrix,
    probabilities,
)
from matching.similarity import tables

# One photo tells two thirds of what endless photos would: 1 / (1 + 0.5).
SHRINKAGE = 0.5
# The population counts as if one average photo had been read before any other.
PRIOR_PHOTOS = 1.0
# An attribute on which nearly all photos agree may be stretched at most this much.
MAX_STRETCH = 4.0
# The index needs vectors of one norm; photos to come may be longer than those seen.
RADIUS_MARGIN = 1.25


def neutral_space(*, model: str, projection: str = "identity") -> FeatureSpace:
    """A space for a platform without photos: every value equally common."""
    mean = np.concatenate([np.full(size, 1 / size) for size in SIZES])
    similarity = tables()
    spread = [
        mean[s] @ (1 - mean[s])
        if a.kind is Kind.MANY  # independent values: the sum of their variances
        else 1 - mean[s] @ similarity[a.name] @ mean[s]  # E |L.T (p - mean)|^2
        for a, s in zip(SCHEMA, VALUE_SLICES.values(), strict=True)
    ]
    return FeatureSpace(
        model=model,
        projection=projection,
        mean=mean,
        scale=np.sqrt(spread),
        visual_mean=np.zeros(VISUAL_WIDTH),
        alpha=1.0,
        radius=RADIUS_MARGIN * math.sqrt(2 * (len(SCHEMA) + 1)),
        shrinkage=SHRINKAGE,
        tables=similarity,
    )


def fit_space(
    sightings: Sequence[Sighting], *, model: str, projection: str = "identity"
) -> FeatureSpace:
    """Measure the population: its mean, and a scale under which attributes weigh alike.

    mean = sum p / sum visible; scale**2 = sum |L.T (p - visible * mean)|**2 / sum
    visible; each with one average photo added, so that few photos are not overread.
    """
    neutral = neutral_space(model=model, projection=projection)
    if not sightings:
        return neutral
    p, seen = probabilities(s.attributes for s in sightings)
    weight = seen.sum(axis=0) + PRIOR_PHOTOS
    mean = (p.sum(axis=0) + PRIOR_PHOTOS * neutral.mean) / np.repeat(weight, SIZES)
    centred = replace(neutral, mean=mean)
    starts = [s.start for s in VALUE_SLICES.values()]
    phi = centre(centred, p, seen) @ centred.basis  # in units of the neutral scale
    square = np.add.reduceat(phi**2, starts, axis=1).sum(axis=0)
    stretch = np.sqrt((square + PRIOR_PHOTOS) / weight)
    space = replace(
        _fit_visual(centred, sightings),
        scale=neutral.scale * np.maximum(stretch, 1 / MAX_STRETCH),
    )
    longest = np.linalg.norm(photo_matrix(space, sightings), axis=1).max()
    return replace(space, radius=max(space.radius, RADIUS_MARGIN * float(longest)))


def _fit_visual(space: FeatureSpace, sightings: Sequence[Sighting]) -> FeatureSpace:
    embeddings, seen = embedding_matrix(sightings)
    if seen.sum() < 2:  # one embedding has no spread
        return space
    known = embeddings[seen > 0]
    visual_mean = known.mean(axis=0)
    square = float(((known - visual_mean) ** 2).sum(axis=1).mean())
    if square == 0:
        return space
    return replace(space, visual_mean=visual_mean, alpha=1 / math.sqrt(square))
