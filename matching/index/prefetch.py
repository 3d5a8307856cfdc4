"""The nearest by their sketches, found by lists or one by one, then scored exactly.

Why they hold the nearest: docs/decisions/0016 and 0017.
"""

from __future__ import annotations

import math
import uuid
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from matching.features import SKETCH_WIDTH
from matching.index.conditions import Sql, without
from matching.index.costs import Estimate
from matching.index.halves import Halves, distances

# So many are scored exactly at least. Where more are asked for, so many times as many.
LEAST_FETCHED, FETCH_FACTOR = 200, 3
# Of a part of all who pass, hardly ever are more among the nearest than so many times
# its share of them, and so many more.
FAVOUR, MORE = 2, 3
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
# Whatever else the planner may prefer has to sort. To sort all the same looks so dear
# before Postgres 18 that it would compile the statement.
SETTINGS = (
    "SELECT set_config('ivfflat.probes', %s, true),"
    " set_config('enable_sort', 'off', true), set_config('jit', 'off', true); "
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

    def sql(self, query: Query) -> Sql:
        """Who is found, and how far away each is, exactly."""
        return (
            Sql("WITH near AS MATERIALIZED (")
            + self._found(query)
            + Sql(") SELECT profile_id, ")
            + distances(query.halves)
            + Sql(" FROM near")
        )

    def _found(self, query: Query) -> Sql:
        rows = self.part.rows + without(self.exclude)
        sketched = (query.sketch, self.limit)
        if self.probes:
            found = Sql("SELECT profile_id, vector") + FROM
            return found + rows + Sql(IN_LISTS, sketched)
        found = Sql("SELECT profile_id, vector FROM (SELECT profile_id AS pk") + FROM
        near = found + rows + Sql(ONE_BY_ONE, sketched)
        return near + Sql(THEIR_ROWS, (query.space_id,))


def nearest(
    parts: Sequence[Part], query: Query, k: int, exclude: frozenset[uuid.UUID]
) -> list[list[Row]]:
    """Of each part those who are among the nearest k >= 1 of all, and some more.

    Scored exactly; k at least of all together, if of each somebody. Nobody of a part
    of which to read all rows is cheaper, or needed. Of a small part few are looked
    for; where as many are among the nearest, there may be more: all k of it are looked
    for again. So are all where less than k were found, as somebody's part had nobody.
    """
    ranks = _ranks(parts, k)
    kept = _of_each(parts, ranks, query, k, exclude)
    found = [(distance, i) for i, rows in enumerate(kept) for _, distance in rows]
    among = Counter(i for _, i in sorted(found)[:k])
    few = [i for i, rank in enumerate(ranks) if rank < k and among[i] >= rank]
    again = _of_each([parts[i] for i in few], [k] * len(few), query, k, exclude)
    for i, rows in zip(few, again, strict=True):
        kept[i] = rows
    return kept


def _ranks(parts: Sequence[Part], k: int) -> list[int]:
    """How many of each part are looked for among the nearest k of all."""
    everybody = max(sum(part.estimate.passing for part in parts), 1)
    shares = [part.estimate.passing / everybody for part in parts]
    return [min(k, math.ceil(FAVOUR * share * k) + MORE) for share in shares]


def _of_each(
    parts: Sequence[Part],
    ranks: Sequence[int],
    query: Query,
    k: int,
    exclude: frozenset[uuid.UUID],
) -> list[list[Row]]:
    """Of each part its rank at least, among them the nearest of that rank; or nobody.

    Postgres is told of those who are excluded; of very many only if these are the
    nearest themselves: to tell it of ten thousand takes as long as a search.
    """
    seen, kept = len(exclude), [list[Row]() for _ in parts]
    fetched = [max(LEAST_FETCHED * rank // k, FETCH_FACTOR * rank) for rank in ranks]
    asked = list(zip(parts, ranks, fetched, strict=True))
    if seen >= MANY_EXCLUDED:
        found = _found([_beyond(*one, seen) for one in asked], query)
        kept = [[row for row in rows if row[0] not in exclude] for rows in found]
    spare = [SPARE_FACTOR * rank for rank in ranks]
    again = [i for i, rows in enumerate(kept) if len(rows) < spare[i]]
    more = seen // EXCLUDED_PER_FETCHED
    looks = [
        _Look(part, limit + more, rank + seen, exclude)
        for part, rank, limit in (asked[i] for i in again)
    ]
    for i, rows in zip(again, _found(looks, query), strict=True):
        kept[i] = rows
    return kept


def _beyond(part: Part, rank: int, fetched: int, seen: int) -> _Look:
    """For so many more as may have been seen, if these lie anywhere."""
    unseen = 1 - min(seen / max(part.estimate.passing, 1), MOST_SEEN)
    return _Look(part, int(fetched / unseen), rank / unseen)


def _found(looks: Sequence[_Look], query: Query) -> list[list[Row]]:
    """What each look finds: nobody where too few passed in the lists that were read.

    Whoever is in another may then be nearer.
    """
    asked = [
        (look.probes or 1, look.sql(query)) for look in looks if look.probes is not None
    ]
    answers = iter(_rows_in_lists(asked) if asked else ())
    found = [next(answers) if look.probes is not None else [] for look in looks]
    return [
        rows if len(rows) == look.limit else []
        for look, rows in zip(looks, found, strict=True)
    ]


def _rows_in_lists(asked: Sequence[tuple[int, Sql]]) -> list[list[Row]]:
    """What each statement selects by an index, of which so many lists are read.

    All in one message: Postgres takes them for one transaction, at whose end the
    settings end too. Within another, nothing having been written, they are undone.
    """
    whole = Sql("")
    for probes, statement in asked:
        whole += Sql(SETTINGS, (str(probes),)) + statement + Sql("; ")
    within = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with within, connection.cursor() as cursor:
        cursor.execute(whole.text, whole.values)
        rows = [_next(cursor) for _ in asked]
        if connection.in_atomic_block:
            transaction.set_rollback(True)
    return rows


def _next(cursor: Any) -> list[Row]:
    """What a statement selects, behind what its settings do."""
    cursor.nextset()
    rows: list[Row] = cursor.fetchall()
    cursor.nextset()
    return rows
