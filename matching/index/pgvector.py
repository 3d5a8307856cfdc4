"""The people of one space in Postgres: exact where few pass, else by a graph.

How it is decided, and why this is never a short page: docs/decisions/0014.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.utils import timezone

from matching.features import STORED_WIDTH
from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql, passing, without
from matching.index.graphs import name_of
from matching.models import PersonVector, Space

# The partial index `personvector_sample` holds one person in so many: its condition
# is written out, as below, where it is to be used.
SAMPLED = 64
# Of a graph as many candidates are scored exactly, and at least so many.
PREFETCH_FACTOR, LEAST_PREFETCH = 3, 60
# What it costs to read a row that passes, and to take a step in a graph: microseconds
# where neither is in the processor's cache. Only their ratio counts.
ROW_COST, STEP_COST = 3.0, 15.0
# What a half rounds away is too small for a half's exponent.
SCALE = 2048
BREADTH = {Effort.QUICK: 200, Effort.THOROUGH: 400}


@dataclass(frozen=True)
class Estimate:
    """About how many `people` a graph holds, and how many of them pass."""

    people: float
    passing: float


class PgvectorIndex:
    """The adapter over `PersonVector`; what people declare comes from their profile."""

    def __init__(self, space: Space) -> None:
        self._space = space

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Their profiles must exist; triggers copy from there what is `declared`."""
        PersonVector.objects.bulk_create(
            [
                PersonVector(
                    profile_id=entry.id,
                    space=self._space,
                    vector=entry.vector.tolist(),
                    presence=dict(entry.presence),
                    photos=entry.photos,
                    updated_at=timezone.now(),
                )
                for entry in entries
            ],
            update_conflicts=True,
            unique_fields=["profile", "space"],
            update_fields=["vector", "presence", "photos", "updated_at"],
        )

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        PersonVector.objects.filter(space=self._space, profile_id__in=ids).delete()

    def search(
        self,
        query: npt.NDArray[np.float32],
        wanted: Filter,
        *,
        k: int,
        exclude: Collection[uuid.UUID] = (),
        effort: Effort = Effort.THOROUGH,
        after: Hit | None = None,
    ) -> list[Hit]:
        """The nearest of every gender, each by its own graph or by a scan."""
        hits: list[Hit] = []
        for gender in wanted.genders:
            rows = passing(self._space.pk, gender, wanted)
            fewer = rows + without(exclude)
            found = None
            if after is None and effort is not Effort.EXACT:
                estimate = self._estimate(gender, rows)
                found = _by_graph(query, fewer, k, BREADTH[effort], estimate)
            hits += _by_scan(query, fewer, k, after) if found is None else found
        return sorted(hits)[:k]

    def count(self, wanted: Filter) -> int:
        return sum(
            _rows(
                Sql("SELECT count(*) FROM matching_personvector WHERE ")
                + passing(self._space.pk, gender, wanted)
            )[0][0]
            for gender in wanted.genders
        )

    def _estimate(self, gender: str, rows: Sql) -> Estimate | None:
        """By a sample, as the planner knows nothing of how ages go together.

        None where there is no graph that could be used.
        """
        found = _rows(
            Sql(
                "SELECT c.reltuples, (SELECT count(*) FROM matching_personvector"
                " WHERE id %% 64 = 0 AND "
            )
            + rows
            + Sql(
                ") FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
                " WHERE c.oid = to_regclass(%s) AND i.indisvalid",
                (name_of(self._space.pk, gender),),
            )
        )
        return Estimate(found[0][0], found[0][1] * SAMPLED) if found else None


def _by_graph(
    query: npt.NDArray[np.float32],
    rows: Sql,
    k: int,
    breadth: int,
    estimate: Estimate | None,
) -> list[Hit] | None:
    """The nearest k of many, scored exactly; None where a scan is cheaper or needed."""
    prefetch = max(LEAST_PREFETCH, PREFETCH_FACTOR * k)
    if estimate is None or estimate.passing <= prefetch:
        return None
    steps = max(breadth, prefetch * estimate.people / estimate.passing)
    affordable = estimate.passing * ROW_COST / STEP_COST
    if steps >= affordable:
        return None
    near = (
        Sql("SELECT profile_id, vector FROM matching_personvector WHERE ")
        + rows
        + Sql(
            f" ORDER BY vector <#> %s::halfvec({STORED_WIDTH}) LIMIT %s",
            (_halves(query)[0], prefetch),
        )
    )
    scored = _distances(query)
    whole = (
        Sql("WITH near AS MATERIALIZED (")
        + near
        + Sql(") SELECT profile_id, ")
        + scored
        + Sql(" AS distance, count(*) OVER () FROM near ORDER BY 2, 1 LIMIT %s", (k,))
    )
    with transaction.atomic():
        _set_up_graph(min(breadth, 1000), int(affordable))
        found = _rows(whole)
        # Nothing was written: so the settings end here, within any transaction.
        transaction.set_rollback(True)
    # Whoever the graph did not reach may be anywhere: then all are read.
    if not found or found[0][2] < prefetch:
        return None
    return [Hit(distance, pk, is_exact=False) for pk, distance, _ in found]


def _set_up_graph(breadth: int, most_steps: int) -> None:
    """Go on where the filters leave too few, until a scan would have been cheaper."""
    _rows(
        Sql(
            "SELECT set_config('hnsw.ef_search', %s, true),"
            " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
            " set_config('hnsw.max_scan_tuples', %s, true),"
            # Whatever else the planner may prefer has to sort.
            " set_config('enable_sort', 'off', true)",
            (str(breadth), str(max(most_steps, breadth))),
        )
    )


def _by_scan(
    query: npt.NDArray[np.float32], rows: Sql, k: int, after: Hit | None
) -> list[Hit]:
    """The nearest k, or those after a position, of all who pass."""
    scored = (
        Sql("SELECT profile_id, ")
        + _distances(query)
        + Sql(" AS distance FROM matching_personvector WHERE ")
        + rows
    )
    whole = Sql("SELECT profile_id, distance FROM (") + scored + Sql(") AS scored")
    if after is not None:
        values = (after.distance, after.id)
        whole += Sql(" WHERE (distance, profile_id) > (%s::float8, %s::uuid)", values)
    whole += Sql(" ORDER BY distance, profile_id LIMIT %s", (k,))
    return [Hit(distance, pk) for pk, distance in _rows(whole)]


def _distances(query: npt.NDArray[np.float32]) -> Sql:
    """-<vector, query> to float32's precision.

    The query in two halves, of which the second is what the first rounds away: twice
    as quick as to make every stored vector a float32 one.
    """
    return Sql(
        f"(vector <#> %s::halfvec({STORED_WIDTH}))"
        f" + (vector <#> %s::halfvec({STORED_WIDTH})) / {SCALE}",
        _halves(query),
    )


def _halves(query: npt.NDArray[np.float32]) -> tuple[str, str]:
    first = query.astype(np.float16)
    rest = ((query - first) * SCALE).astype(np.float16)
    return _text(first), _text(rest)


def _text(halves: npt.NDArray[np.float16]) -> str:
    return "[" + ",".join(map(repr, halves.astype(np.float64).tolist())) + "]"


def _rows(sql: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
