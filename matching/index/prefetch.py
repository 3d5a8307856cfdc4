"""The nearest by their sketches, found by lists or one by one, then scored exactly.

Why they hold the nearest: docs/decisions/0016 and 0017.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from django.db import connection, transaction

from matching.features import SKETCH_WIDTH
from matching.index.conditions import Sql, union, without
from matching.index.costs import Estimate
from matching.index.halves import Halves, distances

# So many are scored exactly at least. Where more are asked for, so many times as many.
LEAST_FETCHED, FETCH_FACTOR = 200, 3
# And one more for so many who are excluded: behind many, more are about as near.
EXCLUDED_PER_FETCHED = 20
# Of so many who are excluded, Postgres is told only if they are the nearest themselves.
MANY_EXCLUDED = 1_000
# More of those found are never taken to have been seen at first; and if so few times
# what is asked for are left of them, it was too few to choose from.
MOST_SEEN, SPARE_FACTOR = 0.75, 1.5
FROM = Sql(" FROM matching_personvector WHERE ")
# By distance, which is the order of lists; or by a sum, which is of none, so that all
# who pass are looked at in an index, where everything lies that is asked of them.
IN_LISTS = f" ORDER BY sketch <#> %s::halfvec({SKETCH_WIDTH}) LIMIT %s"
ONE_BY_ONE = f" ORDER BY (sketch <#> %s::halfvec({SKETCH_WIDTH})) + 0 LIMIT %s"
THEIR_ROWS = (
    ") near JOIN matching_personvector ON profile_id = near.pk AND space_id = %s"
)
# Who, and how far away.
Row = tuple[uuid.UUID, float]


@dataclass(frozen=True)
class Query:
    """What is looked for in a space, and its sketch, as Postgres is told of them."""

    space_id: int
    halves: Halves
    sketch: str


@dataclass(frozen=True)
class Part:
    """Those of one gender who pass, of whom there are lists."""

    rows: Sql
    estimate: Estimate


@dataclass(frozen=True)
class _Look:
    """For so many of a part, among them the nearest of some rank."""

    part: Part
    limit: int
    rank: float
    exclude: Collection[uuid.UUID] = ()

    @property
    def probes(self) -> int | None:
        return self.part.estimate.probes(self.limit, self.rank, len(self.exclude))

    def sql(self, query: Query, number: int) -> Sql:
        """Who is found, each with the look's number and their vector."""
        rows = self.part.rows + without(self.exclude)
        sketched = (query.sketch, self.limit)
        if self.probes:
            found = Sql("SELECT %s AS look, profile_id, vector", (number,))
            return found + FROM + rows + Sql(IN_LISTS, sketched)
        found = Sql("SELECT %s AS look, profile_id, vector FROM (", (number,))
        near = Sql("SELECT profile_id AS pk") + FROM + rows + Sql(ONE_BY_ONE, sketched)
        return found + near + Sql(THEIR_ROWS, (query.space_id,))


def nearest(
    parts: Sequence[Part], query: Query, k: int, exclude: frozenset[uuid.UUID]
) -> list[list[Row]]:
    """Of each part k at least, scored exactly, among them the nearest k.

    Nobody of a part of which to read all rows is cheaper, or needed. Postgres is told
    of those who are excluded; of very many only if these are the nearest themselves:
    to tell it of ten thousand takes as long as a search.
    """
    kept: list[list[Row]] = [[] for _ in parts]
    if len(exclude) >= MANY_EXCLUDED:
        found = _found([_beyond(part, k, len(exclude)) for part in parts], query)
        kept = [[row for row in rows if row[0] not in exclude] for rows in found]
    again = [i for i, rows in enumerate(kept) if len(rows) < SPARE_FACTOR * k]
    limit = _fewest(k) + len(exclude) // EXCLUDED_PER_FETCHED
    looks = [_Look(parts[i], limit, k + len(exclude), exclude) for i in again]
    for i, rows in zip(again, _found(looks, query), strict=True):
        kept[i] = rows
    return [rows if len(rows) >= k else [] for rows in kept]


def _fewest(k: int) -> int:
    return max(LEAST_FETCHED, FETCH_FACTOR * k)


def _beyond(part: Part, k: int, seen: int) -> _Look:
    """For so many more as may have been seen, if these lie anywhere."""
    unseen = 1 - min(seen / max(part.estimate.passing, 1), MOST_SEEN)
    return _Look(part, int(_fewest(k) / unseen), k / unseen)


def _found(looks: Sequence[_Look], query: Query) -> list[list[Row]]:
    """What each look finds: nobody where too few passed in the lists that were read.

    Whoever is in another may then be nearer.
    """
    found: list[list[Row]] = [[] for _ in looks]
    worth = [i for i, look in enumerate(looks) if look.probes is not None]
    if not worth:
        return found
    whole = (
        Sql("WITH near AS MATERIALIZED (")
        + union(looks[i].sql(query, i) for i in worth)
        + Sql(") SELECT look, profile_id, ")
        + distances(query.halves)
        + Sql(" FROM near")
    )
    probes = max(looks[i].probes or 1 for i in worth)
    for look, pk, distance in _rows_in_lists(whole, probes):
        found[look].append((pk, distance))
    return [
        rows if len(rows) == look.limit else []
        for look, rows in zip(looks, found, strict=True)
    ]


def _rows_in_lists(sql: Sql, probes: int) -> list[tuple[int, uuid.UUID, float]]:
    """What `sql` selects by an index, of which so many lists are read.

    Two statements in one message: Postgres takes them for one transaction, at whose end
    the settings end too. Within another, nothing having been written, they are undone.
    """
    settings = Sql(
        "SELECT set_config('ivfflat.probes', %s, true),"
        # Whatever else the planner may prefer has to sort. To sort all the same looks
        # so dear before Postgres 18 that it would compile the statement.
        " set_config('enable_sort', 'off', true), set_config('jit', 'off', true); ",
        (str(probes),),
    )
    both = settings + sql
    within = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with within, connection.cursor() as cursor:
        cursor.execute(both.text, both.values)
        cursor.nextset()
        rows: list[tuple[int, uuid.UUID, float]] = cursor.fetchall()
        if connection.in_atomic_block:
            transaction.set_rollback(True)
    return rows
