"""The people of one space in Postgres: by whole rows, by sketches or by inverted lists.

How it is decided, and why this is never a short page: docs/decisions/0016, 0017.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.utils import timezone

from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql, among, passing, union, without
from matching.index.costs import Estimate
from matching.index.halves import Halves, as_text, distances, halves
from matching.index.lists import name_of
from matching.index.prefetch import MANY_EXCLUDED, Part, Query, Row, nearest
from matching.index.sketches import sketch_of
from matching.models import PersonVector, Space

# The partial index `personvector_sample` holds one person in so many: its condition
# is written out, as below, where it is to be used.
SAMPLED = 64
# So many times what is asked for is scanned where some are excluded. Where so many pass
# and many are excluded, to scan twice costs more than to tell Postgres of them at once.
SCAN_FACTOR, MANY_PASSING = 3, 5_000


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
        """The nearest of every gender, each in the way that is the cheapest for it."""
        out = frozenset(exclude)
        rows = {
            gender: passing(self._space.pk, [gender], wanted)
            for gender in wanted.genders
        }
        parts = {} if effort is Effort.EXACT else self._parts(rows, wanted)
        asked = self._asked(query, sketched=bool(parts))
        found = dict(zip(parts, nearest([*parts.values()], asked, k, out), strict=True))
        hits: list[Hit] = []
        for gender, those in rows.items():
            if near := found.get(gender):
                hits += _hits(near, k, is_exact=False)
            else:
                about = parts[gender].estimate.passing if gender in parts else 0
                hits += _by_scan(asked.halves, those, k, out, about)
        return sorted(hits)[:k] if len(rows) > 1 else hits

    def count(self, wanted: Filter, *, exclude: Collection[uuid.UUID] = ()) -> int:
        """To look at every row whether it is excluded would take thrice as long."""
        if not wanted.genders:
            return 0
        counted = Sql("SELECT count(*) FROM matching_personvector WHERE ")
        rows = counted + passing(self._space.pk, wanted.genders, wanted)
        if exclude:
            # In one statement, as people come and go between two.
            out = Sql(") - (") + rows + among(exclude)
            rows = Sql("SELECT (") + rows + out + Sql(")")
        return int(_rows(rows)[0][0])

    def _asked(self, query: npt.NDArray[np.float32], *, sketched: bool) -> Query:
        """A sketch there is only where there are lists."""
        sketch = as_text(sketch_of(self._space.pk).of_query(query)) if sketched else ""
        return Query(self._space.pk, halves(query), sketch)

    def _parts(self, rows: Mapping[str, Sql], wanted: Filter) -> dict[str, Part]:
        """Of these, by gender, those of whom there are lists.

        How many pass is estimated by a sample, as the planner knows nothing of how ages
        go together.
        """
        if not rows:
            return {}
        each = [
            self._estimated(gender, those, wanted.seeking)
            for gender, those in rows.items()
        ]
        return {
            gender: Part(rows[gender], _estimate(wanted, people, passed, lists))
            for gender, people, passed, lists in _rows(union(each))
        }

    def _estimated(self, gender: str, rows: Sql, seeking: str) -> Sql:
        return (
            Sql(
                "SELECT %s, c.reltuples, (SELECT count(*) FROM matching_personvector"
                " WHERE id %% 64 = 0 AND ",
                (gender,),
            )
            + rows
            + Sql(
                "), o.option_value::int"
                " FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid,"
                " pg_options_to_table(c.reloptions) o"
                " WHERE c.oid = to_regclass(%s) AND i.indisvalid"
                " AND o.option_name = 'lists'",
                (name_of(self._space.pk, gender, seeking),),
            )
        )


def _estimate(wanted: Filter, people: float, sampled: int, lists: int) -> Estimate:
    """Of so many in the sample: sketches lie by place, and wishes in no index."""
    passing = float(sampled * SAMPLED)
    entries = people if wanted.circle is None else passing
    if wanted.must or wanted.never:
        entries = math.inf
    return Estimate(people, passing, lists, entries)


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
