"""How good a ranking is: one formula each, with its citation. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]

RECALL_AT = (1, 5, 10)
# Photos compared with all others at a time: what is held is that many times all.
CHUNK = 1_024


def auc(scores: npt.ArrayLike, *, relevant: npt.ArrayLike) -> float:
    """Chance that a relevant item scores above another; ties count half.

    Hanley & McNeil 1982 (the Mann-Whitney statistic). Raises ValueError if all items,
    or none, are relevant.
    """
    s, r = _checked(scores, relevant)
    hit, miss = s[r > 0], s[r <= 0]
    if not len(hit) or not len(miss):
        raise ValueError("AUC needs relevant and other items")
    above = (hit[:, None] > miss).mean()
    return float(above + 0.5 * (hit[:, None] == miss).mean())


def precision_at_k(scores: npt.ArrayLike, *, relevant: npt.ArrayLike, k: int) -> float:
    """Share of relevant items among the k best; ties keep the order given.

    Manning, Raghavan & Schuetze 2008, 8.4. A list shorter than k counts as k long.
    """
    s, r = _checked(scores, relevant)
    return float((r[_order(s)[:k]] > 0).sum() / k)


def ndcg_at_k(scores: npt.ArrayLike, *, gains: npt.ArrayLike, k: int) -> float:
    """Discounted cumulative gain at k over the best possible; 0 if no gain exists.

    sum gain_i / log2(i + 1), Jaervelin & Kekaelaeinen 2002 in the form of Burges 2005.
    """
    s, g = _checked(scores, gains)
    ideal = _dcg(np.sort(g)[::-1][:k])
    return _dcg(g[_order(s)[:k]]) / ideal if ideal > 0 else 0.0


def recall_at_k(
    found: Sequence[Hashable], *, exact: Iterable[Hashable], k: int
) -> float:
    """Share of the k truly nearest that an index finds in its first k; 1 of none.

    Aumueller, Bernhardsson & Faithfull 2020 (ANN-Benchmarks).
    """
    nearest = list(exact)[:k]
    return len(set(found[:k]) & set(nearest)) / len(nearest) if nearest else 1.0


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


def triplet_accuracy(embeddings: npt.ArrayLike, *, triplets: IntArray) -> float:
    """Share of triplets (m, 3) whose first is likelier to the second than to the third.

    Rows of unit vectors (n, width); a tie counts half (Schultz & Joachims 2003).
    """
    e = np.asarray(embeddings, dtype=np.float64)
    first, second, third = e[triplets.T]
    margin = (first * (second - third)).sum(axis=1)
    return float((margin > 0).mean() + 0.5 * (margin == 0).mean())


def bootstrap_interval(
    values: npt.ArrayLike, *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of independent values (Efron 1979).

    Give one value per rater: the items of one rater are not independent.
    """
    sample = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = rng.choice(sample, size=(draws, len(sample))).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def clustered_interval(
    values: npt.ArrayLike,
    *,
    clusters: npt.ArrayLike,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean of values (n,) that clusters (n,) have in common.

    Whole clusters are drawn, such as people with all their photos (Davison & Hinkley
    1997, 3.8): the values of one are not independent.
    """
    _, codes = np.unique(clusters, return_inverse=True)
    size = np.bincount(codes)
    total = np.bincount(codes, weights=np.asarray(values, dtype=np.float64))
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(size), size=(draws, len(size)))
    means = total[drawn].sum(axis=1) / size[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _checked(
    scores: npt.ArrayLike, other: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    s = np.asarray(scores, dtype=np.float64)
    o = np.asarray(other, dtype=np.float64)
    if s.shape != o.shape or s.ndim != 1:
        raise ValueError("one label per score")
    return s, o


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


def _order(scores: FloatArray) -> npt.NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")


def _dcg(gains: FloatArray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
