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
import psycopg
from django.core.exceptions import EmptyResultSet
from django.db import connection, models, transaction
from django.utils import timezone

from matching.features import STORED_WIDTH
from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql, passing, without
from matching.index.graphs import name_of
from matching.models import PersonVector, Space

# The partial index `personvector_sample` holds one person in so many: its condition
# is written out, as below, where it is to be used.
SAMPLED = 64
# So many more than asked for are taken from a graph and scored exactly.
MORE_FETCHED = 60
# So many times what is asked for is scanned where some are excluded.
SCAN_FACTOR = 3
# What it costs to read a row that passes, and to take a step in a graph: microseconds
# where neither is in the processor's cache. Only their ratio counts.
ROW_COST, STEP_COST = 3.0, 15.0
MOST_STEPS = 1_000_000
# More of those found are never taken to have been seen at first, nor more fetched.
MOST_SEEN, MOST_PREFETCH = 0.75, 2_000
# What a half rounds away is too small for a half's exponent.
SCALE = 2048
# Candidates that a graph keeps in view (ef_search): decision 14.
BREADTH = 500


# A query as two texts: the numbers as halves, and what these round away.
Halves = tuple[str, str]


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
    ) -> list[Hit]:
        """The nearest of every gender, each by its own graph or by a scan."""
        halves, out = _halves(query), frozenset(exclude)
        hits: list[Hit] = []
        for gender in wanted.genders:
            rows = passing(self._space.pk, gender, wanted)
            found = None
            if effort is not Effort.EXACT:
                estimate = self._estimate(gender, rows)
                found = _by_graph(halves, rows, k, out, BREADTH, estimate)
            hits += _by_scan(halves, rows, k, out) if found is None else found
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
    query: Halves,
    rows: Sql,
    k: int,
    exclude: frozenset[uuid.UUID],
    breadth: int,
    estimate: Estimate | None,
) -> list[Hit] | None:
    """The nearest k of many, scored exactly; None where a scan is cheaper or needed.

    Excluded people are left out here: to tell Postgres of ten thousand takes it as long
    as the search. Few of the nearest may be among them, or, where they are the nearest
    themselves, all.
    """
    if estimate is None:
        return None
    seen = min(len(exclude) / max(estimate.passing, 1), MOST_SEEN)
    fewest = k + MORE_FETCHED
    for prefetch in (int(fewest / (1 - seen)), fewest + len(exclude)):
        most_steps = _affordable_steps(prefetch, breadth, estimate)
        if not most_steps:
            return None
        near = _near(query, rows, prefetch, breadth, most_steps)
        if len(near) < prefetch:
            return None  # whoever was not reached may be anywhere: all are read
        hits = [hit for hit in near if hit.id not in exclude]
        if len(hits) >= k:
            return hits[:k]
    return None


def _affordable_steps(prefetch: int, breadth: int, estimate: Estimate) -> int:
    """As many steps as cost no more than a scan; 0 if these will not do."""
    if prefetch >= min(estimate.passing, MOST_PREFETCH):
        return 0
    needed = max(breadth, prefetch * estimate.people / estimate.passing)
    affordable = min(estimate.passing * ROW_COST / STEP_COST, MOST_STEPS)
    return max(int(affordable), breadth) if needed < affordable else 0


def _near(
    query: Halves, rows: Sql, limit: int, breadth: int, most_steps: int
) -> list[Hit]:
    """About the nearest, by their exact distances; fewer if the steps did not do."""
    order = f" ORDER BY vector <#> %s::halfvec({STORED_WIDTH}) LIMIT %s"
    near = (
        Sql("SELECT profile_id, vector FROM matching_personvector WHERE ")
        + rows
        + Sql(order, (query[0], limit))
    )
    whole = (
        Sql("WITH near AS MATERIALIZED (")
        + near
        + Sql(") SELECT profile_id, ")
        + _distances(query)
        + Sql(" FROM near")
    )
    with transaction.atomic():
        _set_up_graph(breadth, most_steps)
        found = _rows(whole)
        # Nothing was written: so the settings end here, within any transaction.
        transaction.set_rollback(True)
    return sorted(Hit(distance, pk, is_exact=False) for pk, distance in found)


def _set_up_graph(breadth: int, most_steps: int) -> None:
    """Go on where the filters leave too few, until a scan would have been cheaper."""
    _rows(
        Sql(
            "SELECT set_config('hnsw.ef_search', %s, true),"
            " set_config('hnsw.iterative_scan', 'relaxed_order', true),"
            " set_config('hnsw.max_scan_tuples', %s, true),"
            # Whatever else the planner may prefer has to sort.
            " set_config('enable_sort', 'off', true)",
            (str(breadth), str(most_steps)),
        )
    )


def _by_scan(
    query: Halves,
    rows: Sql,
    k: int,
    exclude: frozenset[uuid.UUID],
) -> list[Hit]:
    """The nearest k of all who pass, exactly.

    Of the nearest of all, the excluded are left out here; where too few remain,
    Postgres is told of them.
    """
    limit = SCAN_FACTOR * k if exclude else k
    nearest = _scanned(query, rows, limit)
    hits = [hit for hit in nearest if hit.id not in exclude]
    if len(hits) >= k or len(nearest) < limit:
        return hits[:k]
    return _scanned(query, rows + without(exclude), k)


def _scanned(query: Halves, rows: Sql, limit: int) -> list[Hit]:
    scored = (
        Sql("SELECT profile_id, ")
        + _distances(query)
        + Sql(" AS distance FROM matching_personvector WHERE ")
        + rows
    )
    whole = scored + Sql(" ORDER BY distance, profile_id LIMIT %s", (limit,))
    return [Hit(distance, pk) for pk, distance in _rows(whole)]


def _distances(query: Halves) -> Sql:
    """-<vector, query> to float32's precision.

    The query in two halves, of which the second is what the first rounds away: twice
    as quick as to make every stored vector a float32 one.
    """
    return Sql(
        f"(vector <#> %s::halfvec({STORED_WIDTH}))"
        f" + (vector <#> %s::halfvec({STORED_WIDTH})) / {SCALE}",
        query,
    )


def _halves(query: npt.NDArray[np.float32]) -> Halves:
    first = query.astype(np.float16)
    rest = ((query - first) * SCALE).astype(np.float16)
    return _text(first), _text(rest)


def _text(halves: npt.NDArray[np.float16]) -> str:
    return "[" + ",".join(map(repr, halves.astype(np.float64).tolist())) + "]"


def read_vectors(
    rows: models.QuerySet[PersonVector],
) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    """The (768,) of each person, in binary form: text takes as long as the search."""
    connection.ensure_connection()
    try:
        text, values = rows.values_list("profile_id", "vector").query.sql_with_params()
    except EmptyResultSet:  # nobody was asked for
        return {}
    # Django's own cursors bind on the client, which knows no binary form.
    with connection.cursor() as client, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(client.mogrify(text, values).encode(), binary=True)
        # A halfvec comes as its width, two bytes of nothing, and the numbers.
        return {
            pk: np.frombuffer(raw[4:], ">f2").astype(np.float64) for pk, raw in cursor
        }


def _rows(sql: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
