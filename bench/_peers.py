"""Other ways to find the nearest, over the same people and the same queries.

Each holds only those who pass the filter of its shape, so that none has to filter, but
pgvector with its defaults, which filters as we do. What is not installed is said to be
absent: requirements/bench.txt has it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection

from bench._bench import quantiles, timed
from bench._fuzzy import rank, winners
from bench._shapes import Floats, K, Oracle
from matching.features import STORED_WIDTH, FeatureSpace, pack_query
from matching.index.base import Filter
from matching.index.conditions import passing
from matching.models import Space

LISTS, CODES, BITS = 100, 8, 8
UPSERTED = 1_000
TABLE = "bench_peer"
Rows = npt.NDArray[np.int64]
# A query (644,) to rows of what the peer holds, nearest first.
Search = Callable[[npt.NDArray[np.float64]], Rows]


def faiss_ivfpq(vectors: Floats) -> Search:
    """An inverted file with product quantization: nlist 100, m 8, its own nprobe 1."""
    faiss: Any = import_module("faiss")
    width = vectors.shape[1]
    coarse = faiss.IndexFlatIP(width)
    kind = faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexIVFPQ(coarse, width, LISTS, CODES, BITS, kind)
    index.train(vectors)
    index.add(vectors)
    return _faiss_search(index, width)


def faiss_flat(vectors: Floats) -> Search:
    """Everybody, in memory."""
    faiss: Any = import_module("faiss")
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return _faiss_search(index, vectors.shape[1])


def _faiss_search(index: Any, width: int) -> Search:
    def search(taste: npt.NDArray[np.float64]) -> Rows:
        query = np.zeros((1, width), dtype=np.float32)
        query[0, : len(taste)] = taste
        found = index.search(query, K)[1][0]
        return np.asarray(found[found >= 0], dtype=np.int64)

    return search


def qdrant_edge(vectors: Floats) -> Search:
    """Qdrant's engine in this process, with its defaults."""
    edge: Any = import_module("qdrant_edge")
    width = vectors.shape[1]
    folder = tempfile.mkdtemp()
    parameters = edge.EdgeVectorParams(size=width, distance=edge.Distance.Dot)
    shard = edge.EdgeShard.create(folder, edge.EdgeConfig(vectors=parameters))
    for start in range(0, len(vectors), UPSERTED):
        rows = vectors[start : start + UPSERTED].tolist()
        points = [edge.Point(start + i, row, None) for i, row in enumerate(rows)]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()

    def search(taste: npt.NDArray[np.float64]) -> Rows:
        query = np.zeros(width)
        query[: len(taste)] = taste
        nearest = edge.Query.Nearest(query.tolist())
        found = shard.search(edge.SearchRequest(query=nearest, limit=K))
        return np.array([point.id for point in found], dtype=np.int64)

    return search


ENGINES = {
    "faiss_ivfpq": faiss_ivfpq,
    "faiss_flat": faiss_flat,
    "qdrant_edge": qdrant_edge,
}


def with_slack(space: FeatureSpace, vectors: Floats) -> Floats:
    """(n, 648) of one norm, as engines for inner products need it, and as ours are."""
    square = (vectors.astype(np.float64) ** 2).sum(axis=1)
    slack = np.sqrt(np.maximum(0.0, space.radius**2 - square))
    padding = np.zeros((len(vectors), -(vectors.shape[1] + 1) % CODES))
    return np.column_stack([vectors, slack, padding]).astype(np.float32)


def engine(
    name: str, oracle: Oracle, rows: Rows, vectors: Floats, tastes: list[Any]
) -> dict[str, Any]:
    """What one engine finds of `rows`, whose stored `vectors` it is given."""
    try:
        search, built = timed(lambda: ENGINES[name](vectors))
    except ModuleNotFoundError:
        return {"absent": "pip install -r requirements/bench.txt"}
    return {
        **_judged(lambda taste: rows[search(taste)], oracle, rows, tastes),
        "build_seconds": round(built / 1_000, 2),
    }


def pgvector_defaults(
    space: Space, wanted: Filter, oracle: Oracle, rows: Rows, tastes: list[Any]
) -> dict[str, Any]:
    """One graph over everybody, and every setting as pgvector comes."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
        everybody = "SELECT * FROM matching_personvector WHERE space_id = %s"
        cursor.execute(f"CREATE TABLE {TABLE} AS {everybody}", [space.pk])
        index = f"CREATE INDEX ON {TABLE} USING hnsw (vector halfvec_ip_ops)"
        _, built = timed(lambda: cursor.execute(index))
        cursor.execute(f"ANALYZE {TABLE}")
        condition = passing(space.pk, wanted.genders, wanted)
        order = f" ORDER BY vector <#> %s::halfvec({STORED_WIDTH}) LIMIT {K}"
        nearest = "".join(["SELECT profile_id FROM ", TABLE, " WHERE ", condition.text])

        def search(taste: npt.NDArray[np.float64]) -> Rows:
            query = str(pack_query(taste).tolist())
            cursor.execute(nearest + order, (*condition.values, query))
            return oracle.rows(pk for (pk,) in cursor.fetchall())

        figures = _judged(search, oracle, rows, tastes)
        cursor.execute(f"DROP TABLE {TABLE}")
    return {**figures, "build_seconds": round(built / 1_000, 2)}


def fuzzy(
    space: Space, oracle: Oracle, rows: Rows, asked: list[Any], tastes: list[Any]
) -> dict[str, Any]:
    """The winner-take-all ranker over everybody: it has no hard filters."""
    shown = dict(
        space.vectors.filter(profile_id__in=oracle.ids).values_list(
            "profile_id", "presence"
        )
    )
    people = [winners(shown[pk]) for pk in oracle.ids]
    recalls, times = [], []
    for (liked, disliked), taste in zip(asked, tastes, strict=True):
        found, took = timed(lambda a=liked, b=disliked: rank(people, a, b, K))  # type: ignore[misc]
        recalls.append(oracle.recall(taste, np.array(found), rows))
        times.append(took)
    return _figures(recalls, times) | {"people": len(people)}


def _judged(
    search: Search, oracle: Oracle, rows: Rows, tastes: list[Any]
) -> dict[str, Any]:
    recalls, times = [], []
    for taste in tastes:
        found, took = timed(lambda t=taste: search(t))  # type: ignore[misc]
        recalls.append(oracle.recall(taste, found, rows))
        times.append(took)
    return _figures(recalls, times)


def _figures(recalls: list[float], times: list[float]) -> dict[str, Any]:
    found = {f"{name}_ms": took for name, took in quantiles(times).items()}
    return {"recall_at_20": round(float(np.mean(recalls)), 4), **found}
