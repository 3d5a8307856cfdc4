"""Do the features know people apart? By photos of people nobody has learned from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from annotation.evaluation.identity import repeated, retrieved, silhouettes
from annotation.evaluation.sources import pixels
from matching.metrics import clustered_interval
from matching.projection import FloatArray, Projection, untrained

PIXELS_SIDE: Final = 32
RANDOM_WIDTH: Final = 512
LEAST_PEOPLE: Final = 2
Figures = dict[str, Any]
People = npt.NDArray[np.int64]


def identity(
    project: Projection,
    features: npt.NDArray[np.float32],
    photos: Sequence[bytes],
    people: People,
) -> Figures | None:
    """recall@1, 5 and 10, MAP@R and silhouette of n photos, beside two baselines.

    `features` (n, width) as searches project them; random directions; grey pixels.
    Intervals are over people. None where fewer than two people have two photos.
    """
    asked = repeated(people)
    if len(np.unique(people[asked])) < LEAST_PEOPLE:
        return None
    embeddings = {
        "annotator": project(features),
        "random": _random(len(people)),
        "pixels": _grey(photos),
    }
    return {
        "projection": project.version,
        "photos": int(asked.sum()),
        "looked_through": len(people),
        "people": len(np.unique(people[asked])),
        **{name: _figures(rows, people) for name, rows in embeddings.items()},
    }


def _figures(embeddings: FloatArray, people: People) -> Figures:
    found = retrieved(embeddings, people=people)
    found["silhouette"] = silhouettes(embeddings, people=people)
    own = people[repeated(people)]
    return {name: _estimate(values, own) for name, values in found.items()}


def _estimate(values: FloatArray, people: People) -> dict[str, float]:
    low, high = clustered_interval(values, clusters=people)
    return {"value": float(values.mean()), "low": low, "high": high}


def _random(count: int) -> FloatArray:
    directions = np.random.default_rng(0).normal(size=(count, RANDOM_WIDTH))
    return untrained(width=RANDOM_WIDTH)(directions)


def _grey(photos: Sequence[bytes]) -> FloatArray:
    """Whole photos as 32 x 32 grey pixels, (n, 1024), each centred and of length 1."""
    rows = np.array([_shrunk(photo).ravel() for photo in photos], np.float64)
    centred = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.where(length == 0, 1.0, length))


def _shrunk(photo: bytes) -> npt.NDArray[Any]:
    grey = cv2.cvtColor(pixels(photo), cv2.COLOR_RGB2GRAY)
    side = (PIXELS_SIDE, PIXELS_SIDE)
    return np.asarray(cv2.resize(grey, side, interpolation=cv2.INTER_AREA))
