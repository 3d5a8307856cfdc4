"""How good a ranking is: one formula each, with its citation. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]


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


def triplet_accuracy(embeddings: npt.ArrayLike, *, triplets: IntArray) -> float:
    """Share of triplets (m, 3) whose first is likelier to the second than to the third.

    Rows of unit vectors (n, width); a tie counts half (Schultz & Joachims 2003).
    """
    e = np.asarray(embeddings, dtype=np.float64)
    first, second, third = e[triplets.T]
    margin = (first * (second - third)).sum(axis=1)
    return float((margin > 0).mean() + 0.5 * (margin == 0).mean())


def gini(amounts: npt.ArrayLike) -> float:
    """How unequally something is shared, 0 (all have as much) to 1 - 1/n; 0 of nothing.

    Mean difference of all pairs over twice the mean (Gini 1912). Raises ValueError if
    an amount is negative.
    """
    sample = np.sort(np.asarray(amounts, dtype=np.float64))
    if (sample < 0).any():
        raise ValueError("amounts are 0 or more")
    total = sample.sum()
    if total == 0:
        return 0.0
    rank = np.arange(1, len(sample) + 1)
    return float((2 * rank - len(sample) - 1) @ sample / (len(sample) * total))


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


def _order(scores: FloatArray) -> npt.NDArray[np.intp]:
    return np.argsort(-scores, kind="stable")


def _dcg(gains: FloatArray) -> float:
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())
