"""The people of one space in Postgres: exact where few pass, else by a graph.

How it is decided, and why this is never a short page: docs/decisions/0014,
0015.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.utils import timezone

from matching.features import SKETCH_WIDTH, STORED_WIDTH
from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql, passing, without
from matching.index.graphs import name_of
from matching.index.sketches import sketch_of
from matching.models import PersonVector, Space

# The partial index `personvector_sample` holds one person in so many: its condition
# is written out, as below, where it is to be used.
SAMPLED = 64
# So many are taken from a graph at least, and scored exactly: decision 15. Where more
# are asked for, so many times as many.
LEAST_FETCHED, FETCH_FACTOR = 400, 2
# So many times what is asked for is scanned where some are excluded. Where so many are,
# of so many who pass, to scan twice costs more than to tell Postgres of them at once.
SCAN_FACTOR = 3
MANY_EXCLUDED, MANY_PASSING = 1_000, 5_000
# What it costs to read a row that passes, and to take a step in a graph: microseconds
# where neither is in the processor's cache. Only their ratio counts.
ROW_COST, STEP_COST = 3.0, 15.0
MOST_STEPS = 1_000_000
# More of those found are never taken to have been seen at first, nor more fetched.
MOST_SEEN, MOST_PREFETCH = 0.75, 2_000
# What a half rounds away is too small for a half's exponent.
SCALE = 2048
# Candidates that a graph keeps in view (ef_search): decision 15.
BREADTH = 500


# A query as two texts: the numbers as halves, and what these round away.
Halves = tuple[str, str]
# Who, and how far away.
Row = tuple[uuid.UUID, float]


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
            rows = passing(self._space.pk, [gender], wanted)
            graph = None
            if effort is not Effort.EXACT:
                graph = self._graph(query, rows, gender, wanted.seeking)
            found = graph.nearest(halves, k, out) if graph else None
            if found is None:
                about = graph.estimate.passing if graph else 0
                found = _by_scan(halves, rows, k, out, about)
            hits += found
        return sorted(hits)[:k] if len(wanted.genders) > 1 else hits

    def count(self, wanted: Filter) -> int:
        if not wanted.genders:
            return 0
        counted = Sql("SELECT count(*) FROM matching_personvector WHERE ")
        rows = counted + passing(self._space.pk, wanted.genders, wanted)
        return int(_rows(rows)[0][0])

    def _graph(
        self, query: npt.NDArray[np.float32], rows: Sql, gender: str, seeking: str
    ) -> _Graph | None:
        """None where there is no graph that could be used."""
        estimate = self._estimate(rows, name_of(self._space.pk, gender, seeking))
        if estimate is None:
            return None
        sketch = sketch_of(self._space.pk).of_query(query)
        nearest = Sql(
            f" ORDER BY sketch <#> %s::halfvec({SKETCH_WIDTH}) LIMIT ",
            (_text(sketch),),
        )
        return _Graph(rows + nearest, estimate)

    def _estimate(self, rows: Sql, name: str) -> Estimate | None:
        """By a sample, as the planner knows nothing of how ages go together."""
        found = _rows(
            Sql(
                "SELECT c.reltuples, (SELECT count(*) FROM matching_personvector"
                " WHERE id %% 64 = 0 AND "
            )
            + rows
            + Sql(
                ") FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
                " WHERE c.oid = to_regclass(%s) AND i.indisvalid",
                (name,),
            )
        )
        return Estimate(found[0][0], found[0][1] * SAMPLED) if found else None


@dataclass(frozen=True)
class _Graph:
    """A way to those who pass, the nearest by sketch `first`."""

    first: Sql
    estimate: Estimate

    def nearest(
        self, query: Halves, k: int, exclude: frozenset[uuid.UUID]
    ) -> list[Hit] | None:
        """The nearest k, scored exactly; None where a scan is cheaper or needed.

        Excluded people are left out here: to tell Postgres of ten thousand takes it as
        long as the search. Few of the nearest may be among them, or, where they are the
        nearest themselves, all.
        """
        seen = min(len(exclude) / max(self.estimate.passing, 1), MOST_SEEN)
        fewest = max(LEAST_FETCHED, FETCH_FACTOR * k)
        for prefetch in (int(fewest / (1 - seen)), fewest + len(exclude)):
            most_steps = self._affordable_steps(prefetch)
            if not most_steps:
                return None
            near = self._near(query, prefetch, most_steps)
            if len(near) < prefetch:
                return None  # whoever was not reached may be anywhere: all are read
            kept = [(pk, distance) for pk, distance in near if pk not in exclude]
            if len(kept) >= k:
                return _hits(kept, k, is_exact=False)
        return None

    def _affordable_steps(self, prefetch: int) -> int:
        """As many steps as cost no more than a scan; 0 if these will not do."""
        passing = self.estimate.passing
        if prefetch >= min(passing, MOST_PREFETCH):
            return 0
        needed = max(BREADTH, prefetch * self.estimate.people / passing)
        affordable = min(passing * ROW_COST / STEP_COST, MOST_STEPS)
        return max(int(affordable), BREADTH) if needed < affordable else 0

    def _near(self, query: Halves, limit: int, most_steps: int) -> list[Row]:
        """About the nearest, by exact distances; fewer if the steps did not do."""
        near = (
            Sql("SELECT profile_id, vector FROM matching_personvector WHERE ")
            + self.first
            + Sql("%s", (limit,))
        )
        whole = (
            Sql("WITH near AS MATERIALIZED (")
            + near
            + Sql(") SELECT profile_id, ")
            + _distances(query)
            + Sql(" FROM near")
        )
        with transaction.atomic():
            _set_up_graph(BREADTH, most_steps)
            found = _rows(whole)
            # Nothing was written: so the settings end here, within any transaction.
            transaction.set_rollback(True)
        return found


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
    query: Halves, rows: Sql, k: int, exclude: frozenset[uuid.UUID], passing: float
) -> list[Hit]:
    """The nearest k of all who pass, about so many, exactly.

    Of the nearest of all, the excluded are left out here; where too few remain,
    Postgres is told of them.
    """
    limit = SCAN_FACTOR * k if exclude else k
    if len(exclude) < MANY_EXCLUDED or passing < MANY_PASSING:
        nearest = _scanned(query, rows, limit)
        kept = [(pk, distance) for pk, distance in nearest if pk not in exclude]
        if len(kept) >= k or len(nearest) < limit:
            return _hits(kept, k, is_exact=True)
    kept = _scanned(query, rows + without(exclude), k)
    return _hits(kept, k, is_exact=True)


def _scanned(query: Halves, rows: Sql, limit: int) -> list[Row]:
    scored = (
        Sql("SELECT profile_id, ")
        + _distances(query)
        + Sql(" AS distance FROM matching_personvector WHERE ")
        + rows
    )
    whole = scored + Sql(" ORDER BY distance, profile_id LIMIT %s", (limit,))
    return _rows(whole)


def _hits(rows: list[Row], k: int, *, is_exact: bool) -> list[Hit]:
    """The first k of these; hundreds of `Hit`s would take long to compare."""
    first = sorted(rows, key=itemgetter(1, 0))[:k]
    return [Hit(distance, pk, is_exact=is_exact) for pk, distance in first]


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


def _rows(sql: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
