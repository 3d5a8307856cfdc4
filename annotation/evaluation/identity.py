"""How well features know people apart: one formula each, with its citation. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

RECALL_AT: Final = (1, 5, 10)
# Photos compared with all others at a time: what is held is that many times all.
CHUNK: Final = 1_024


def identity_retrieval(
    embeddings: npt.ArrayLike, *, people: npt.ArrayLike
) -> dict[str, float]:
    """How well photos find others of the same person: the means of `retrieved`."""
    found = retrieved(embeddings, people=people)
    return {name: float(values.mean()) for name, values in found.items()}


def retrieved(
    embeddings: npt.ArrayLike, *, people: npt.ArrayLike
) -> dict[str, FloatArray]:
    """How well each photo finds others of the same person, by unit vectors (n, width).

    recall_at_k: whether one of the same person is among the k nearest. map_at_r: mean
    over a person's R others of precision at their ranks up to R (Musgrave, Belongie &
    Lim 2020). Each is (m,), of the photos of `repeated`; those of people who have no
    other are looked through, and not asked. Raises ValueError if nobody has two.
    """
    e, codes, others = _grouped(embeddings, people)
    asked = np.flatnonzero(others > 0)
    depth = min(len(e) - 1, max(*RECALL_AT, int(others.max())))
    ranks = np.arange(1, depth + 1)
    figures = {f"recall_at_{k}": np.zeros(0) for k in RECALL_AT}
    figures["map_at_r"] = np.zeros(0)
    for rows in _chunks(asked):
        likeness = e[rows] @ e.T
        likeness[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argsort(-likeness, axis=1, kind="stable")[:, :depth]
        hit = codes[nearest] == codes[rows, None]
        counted = hit & (ranks <= others[rows, None])
        at_rank = counted.cumsum(axis=1) / ranks * counted
        own = {f"recall_at_{k}": hit[:, :k].any(axis=1) for k in RECALL_AT}
        own["map_at_r"] = at_rank.sum(axis=1) / others[rows]
        figures = {name: np.append(figures[name], own[name]) for name in figures}
    return figures


def repeated(people: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which photos are of somebody who has another, (n,)."""
    _, codes, count = np.unique(people, return_inverse=True, return_counts=True)
    return np.asarray(count[codes] > 1)


def silhouette(embeddings: npt.ArrayLike, *, people: npt.ArrayLike) -> float:
    """How far people's photos lie apart: the mean of `silhouettes`."""
    return float(silhouettes(embeddings, people=people).mean())


def silhouettes(embeddings: npt.ArrayLike, *, people: npt.ArrayLike) -> FloatArray:
    """(b - a) / max(a, b), -1 to 1, of unit vectors (n, width); of `repeated`, (m,).

    a: mean distance to the person's other photos; b: to the nearest other person's
    (Rousseeuw 1987). Only of people with two photos; ValueError if there is one.
    """
    e, codes, others = _grouped(embeddings, people)
    e, codes = e[others > 0], np.unique(codes[others > 0], return_inverse=True)[1]
    size = np.bincount(codes)
    if len(size) < 2:
        raise ValueError("a silhouette needs two people with two photos each")
    member = np.zeros((len(e), len(size)), dtype=np.float32)
    member[np.arange(len(e)), codes] = 1.0
    found = []
    for rows in _chunks(np.arange(len(e))):
        distance = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * e[rows] @ e.T))
        distance[np.arange(len(rows)), rows] = 0.0
        mean = distance @ member
        own = np.arange(len(rows)), codes[rows]
        a = mean[own] / (size[codes[rows]] - 1)
        mean_of_others = mean / size
        mean_of_others[own] = np.inf
        b = mean_of_others.min(axis=1)
        found.append((b - a) / np.maximum(np.maximum(a, b), 1e-12))
    return np.concatenate(found).astype(np.float64)


def _grouped(
    embeddings: npt.ArrayLike, people: npt.ArrayLike
) -> tuple[Float32Array, IntArray, IntArray]:
    """Embeddings, a number for each photo's person, and how many others they have."""
    e = np.asarray(embeddings, dtype=np.float32)
    _, codes, count = np.unique(people, return_inverse=True, return_counts=True)
    others = count[codes] - 1
    if not others.any():
        raise ValueError("nobody has two photos")
    return e, codes, others


def _chunks(rows: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
