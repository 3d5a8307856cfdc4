"""The people of one space in Postgres: exact where few pass, else by inverted lists.

How it is decided, and why this is never a short page: docs/decisions/0014, 0016.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.utils import timezone

from matching.features import SKETCH_WIDTH
from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql, passing, without
from matching.index.halves import Halves, as_text, distances, halves
from matching.index.lists import name_of
from matching.index.sketches import sketch_of
from matching.models import PersonVector, Space

# The partial index `personvector_sample` holds one person in so many: its condition
# is written out, as below, where it is to be used.
SAMPLED = 64
# So many are taken from lists at least, and scored exactly: decision 16. Where more
# are asked for, so many times as many.
LEAST_FETCHED, FETCH_FACTOR = 200, 3
# To find the nearest r of n, this power of r/n is the share of lists that is read.
READ_POWER = 0.2
# So many times what is asked for is scanned where some are excluded. Where so many are,
# of so many who pass, to scan twice costs more than to tell Postgres of them at once.
SCAN_FACTOR = 3
MANY_EXCLUDED, MANY_PASSING = 1_000, 5_000
# Microseconds: to scan somebody who passes, to look at a sketch in a list, and to fetch
# the row behind it. Only their ratios count.
ROW_COST, SKETCH_COST, FETCH_COST = 3.0, 0.5, 5.0
# More of those found are never taken to have been seen at first; and if so few times
# what is asked for are left of them, it was too few to choose from.
MOST_SEEN, SPARE_FACTOR = 0.75, 1.5
# Who, and how far away.
Row = tuple[uuid.UUID, float]


@dataclass(frozen=True)
class Estimate:
    """About how many `people` some `lists` hold, and how many of them pass."""

    people: float
    passing: float
    lists: int


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
        """The nearest of every gender, each by its own lists or by a scan."""
        asked, out = halves(query), frozenset(exclude)
        hits: list[Hit] = []
        for gender in wanted.genders:
            rows = passing(self._space.pk, [gender], wanted)
            lists = None
            if effort is not Effort.EXACT:
                lists = self._lists(query, rows, gender, wanted.seeking)
            found = lists.nearest(asked, k, out) if lists else None
            if found is None:
                about = lists.estimate.passing if lists else 0
                found = _by_scan(asked, rows, k, out, about)
            hits += found
        return sorted(hits)[:k] if len(wanted.genders) > 1 else hits

    def count(self, wanted: Filter) -> int:
        if not wanted.genders:
            return 0
        counted = Sql("SELECT count(*) FROM matching_personvector WHERE ")
        rows = counted + passing(self._space.pk, wanted.genders, wanted)
        return int(_rows(rows)[0][0])

    def _lists(
        self, query: npt.NDArray[np.float32], rows: Sql, gender: str, seeking: str
    ) -> _Lists | None:
        """None where there are no lists."""
        estimate = self._estimate(rows, name_of(self._space.pk, gender, seeking))
        if estimate is None:
            return None
        return _Lists(
            rows, as_text(sketch_of(self._space.pk).of_query(query)), estimate
        )

    def _estimate(self, rows: Sql, name: str) -> Estimate | None:
        """By a sample, as the planner knows nothing of how ages go together."""
        found = _rows(
            Sql(
                "SELECT c.reltuples, (SELECT count(*) FROM matching_personvector"
                " WHERE id %% 64 = 0 AND "
            )
            + rows
            + Sql(
                "), o.option_value::int"
                " FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid,"
                " pg_options_to_table(c.reloptions) o"
                " WHERE c.oid = to_regclass(%s) AND i.indisvalid"
                " AND o.option_name = 'lists'",
                (name,),
            )
        )
        if not found:
            return None
        people, passing, lists = found[0]
        return Estimate(people, passing * SAMPLED, lists)


@dataclass(frozen=True)
class _Lists:
    """A way to those who pass, by the lists nearest to a query's sketch."""

    rows: Sql
    sketch: str
    estimate: Estimate

    def nearest(
        self, query: Halves, k: int, exclude: frozenset[uuid.UUID]
    ) -> list[Hit] | None:
        """The nearest k, scored exactly; None where a scan is cheaper or needed.

        Postgres is told of those who are excluded; of very many only if these are the
        nearest themselves: to tell it of ten thousand takes as long as a search.
        """
        fewest = max(LEAST_FETCHED, FETCH_FACTOR * k)
        kept: list[Row] = []
        if len(exclude) >= MANY_EXCLUDED:
            unseen = 1 - min(len(exclude) / max(self.estimate.passing, 1), MOST_SEEN)
            near = self._near(query, int(fewest / unseen), rank=k / unseen)
            kept = [(pk, distance) for pk, distance in near if pk not in exclude]
        if len(kept) < SPARE_FACTOR * k:
            kept = self._near(query, fewest, rank=k + len(exclude), exclude=exclude)
        return _hits(kept, k, is_exact=False) if len(kept) >= k else None

    def _near(
        self,
        query: Halves,
        limit: int,
        *,
        rank: float,
        exclude: Collection[uuid.UUID] = (),
    ) -> list[Row]:
        """About the nearest `limit`, by exact distances, among them those of `rank`.

        Nobody where a scan is cheaper or too few passed in the lists that were read:
        whoever is in another may then be nearer.
        """
        probes = self._probes(limit + len(exclude), rank)
        if not probes:
            return []
        whole = (
            Sql("WITH near AS MATERIALIZED (")
            + self._by_sketch(limit, exclude)
            + Sql(") SELECT profile_id, ")
            + distances(query)
            + Sql(" FROM near")
        )
        found = _rows_in_lists(whole, probes)
        return found if len(found) == limit else []

    def _by_sketch(self, limit: int, exclude: Collection[uuid.UUID]) -> Sql:
        return (
            Sql("SELECT profile_id, vector FROM matching_personvector WHERE ")
            + self.rows
            + without(exclude)
            + Sql(
                f" ORDER BY sketch <#> %s::halfvec({SKETCH_WIDTH}) LIMIT %s",
                (self.sketch, limit),
            )
        )

    def _probes(self, fetched: int, rank: float) -> int:
        """How many lists hold the nearest so many; 0 where a scan is cheaper."""
        people, passing = self.estimate.people, max(self.estimate.passing, 1)
        share = math.pow(min(rank / passing, 1), READ_POWER)
        needed = share * people * SKETCH_COST + fetched * people / passing * FETCH_COST
        if fetched >= passing or needed >= passing * ROW_COST:
            return 0
        return math.ceil(share * self.estimate.lists)


def _rows_in_lists(sql: Sql, probes: int) -> list[Row]:
    """What `sql` selects by an index, of which so many lists are read.

    Two statements in one message: Postgres takes them for one transaction, at whose end
    the settings end too. Within another, nothing having been written, they are undone.
    """
    settings = Sql(
        "SELECT set_config('ivfflat.probes', %s, true),"
        # Whatever else the planner may prefer has to sort.
        " set_config('enable_sort', 'off', true); ",
        (str(probes),),
    )
    both = settings + sql
    within = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with within, connection.cursor() as cursor:
        cursor.execute(both.text, both.values)
        cursor.nextset()
        rows: list[Row] = cursor.fetchall()
        if connection.in_atomic_block:
            transaction.set_rollback(True)
    return rows


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
        + distances(query)
        + Sql(" AS distance FROM matching_personvector WHERE ")
        + rows
    )
    whole = scored + Sql(" ORDER BY distance, profile_id LIMIT %s", (limit,))
    return _rows(whole)


def _hits(rows: list[Row], k: int, *, is_exact: bool) -> list[Hit]:
    """The first k of these; hundreds of `Hit`s would take long to compare."""
    first = sorted(rows, key=itemgetter(1, 0))[:k]
    return [Hit(distance, pk, is_exact=is_exact) for pk, distance in first]


def _rows(sql: Sql) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql.text, sql.values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
