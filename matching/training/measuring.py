"""What a projection is worth on people it has not seen, in a few figures. No torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.evaluation.identity import identity_retrieval, silhouette
from matching.metrics import triplet_accuracy
from matching.projection import FloatArray, HeadWeights, Projection
from matching.training.cached import CachedFeatures
from matching.training.feedback import Triplets

DECIMALS = 4
# People are measured with all their photos, up to so many: every one meets every other.
MAX_MEASURED = 20_000
RANDOM_WIDTH = 512

Figures = dict[str, float]
Project = Callable[[npt.NDArray[Any]], FloatArray]


def unit(rows: npt.NDArray[Any]) -> FloatArray:
    """Rows (n, width) of length 1; zeros stay zeros."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(norm == 0, 1.0, norm), dtype=np.float64)


def projected(weights: HeadWeights) -> Project:
    """A head as searches would apply it."""
    return Projection("measured", weights.width, weights)


def baselines(rival: Projection) -> dict[str, Project]:
    """What a head must beat: chance, the features as they are, and what is active."""
    rng = np.random.default_rng(0)
    return {
        "random": lambda rows: unit(rng.normal(size=(len(rows), RANDOM_WIDTH))),
        "raw": unit,
        rival.version: rival,
    }


def by_identity(project: Project, photos: CachedFeatures) -> Figures:
    """recall@1, 5 and 10, MAP@R and silhouette by identity."""
    embeddings = project(photos.features)
    figures = identity_retrieval(embeddings, people=photos.people)
    figures["silhouette"] = silhouette(embeddings, people=photos.people)
    return {name: round(value, DECIMALS) for name, value in figures.items()}


def by_feedback(
    project: Project, photos: CachedFeatures, triplets: Triplets
) -> Figures:
    """How often a person is nearer to who they matched with than to who they passed.

    A person is the mean of their photos, as in the index.
    """
    names, codes = np.unique(photos.people, return_inverse=True)
    embeddings = project(photos.features)
    people = np.zeros((len(names), embeddings.shape[1]))
    np.add.at(people, codes, embeddings)
    accuracy = triplet_accuracy(unit(people), triplets=triplets)
    return {"triplet_accuracy": round(accuracy, DECIMALS)}


def measurable(photos: CachedFeatures) -> CachedFeatures:
    """At most MAX_MEASURED of the photos, of as many whole people, by their names."""
    _, codes, count = np.unique(photos.people, return_inverse=True, return_counts=True)
    fitting = count.cumsum() <= MAX_MEASURED
    return photos.where(fitting[codes])
