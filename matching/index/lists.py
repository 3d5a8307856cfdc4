"""Inverted lists (IVF) of the sketches of those in a space who are of one gender and
seek one: built, refitted, known, dropped.

Sketches that are near each other share a list, and a search reads the lists nearest to
its query. Lists of everybody would find a gender's people slowly, and some not at all;
so would those of all men the men who seek men. Where few are, none are needed: reading
all of them is as quick, and exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

from django.db import connection

from matching.index import sketches
from matching.index.conditions import Sql, of
from matching.models import PersonVector, Space
from profiles.models import Gender

# Below it a search reads everybody in no more time than lists would take.
LEAST_PEOPLE = 2_000
# So many times the square root of the people are the lists: decision 16.
LISTS_PER_ROOT, MOST_LISTS = 2.0, 2_000
# Lists that are fewer than this share of what would be made now are made anew.
OUTGROWN = 0.5
# pgvector fits lists to so many people a list, and holds a sketch and a bound for each
# list of every one of them.
PEOPLE_FITTED, BYTES_PER_BOUND, BYTES_PER_SKETCH = 50, 4, 600
LEAST_MEMORY_MB = 64
PREFIX = "personvector_lists"


def _space_id(name: str) -> int:
    return int(name.removeprefix(f"{PREFIX}_").split("_")[0])


def name_of(space_id: int, gender: str, seeking: str) -> str:
    return f"{PREFIX}_{space_id}_{gender}_{seeking}"


def build_missing(space: Space) -> list[str]:
    """Make the lists that this space is large enough for; returns their names.

    Those that it has outgrown are made anew beside the old ones. Searches and writes go
    on meanwhile, unless this is called within a transaction. What broke off is begun
    again; nothing is done while another builds.
    """
    with _alone() as alone:
        if not alone:
            return []
        known = _known()
        missing = {
            name: (gender, seeking, people)
            for gender, seeking, people in _pairs(space)
            if people >= LEAST_PEOPLE
            and known.get(name := name_of(space.pk, gender, seeking), 0)
            < OUTGROWN * _fitting(people)
        }
        if missing or sketches.are_incomplete(space):
            sketches.define(space)
        for name, (gender, seeking, people) in missing.items():
            _build(name, of(space.pk, [gender], seeking), people)
        return list(missing)


def drop(space: Space) -> None:
    """Drop the lists of this space: before very many people are added to it."""
    _drop(name for name in _known() if _space_id(name) == space.pk)


def drop_unused() -> list[str]:
    """Drop the lists of no space that holds anybody; returns their names.

    Nothing is done while another builds.
    """
    with _alone() as alone:
        if not alone:
            return []
        used = set(PersonVector.objects.values_list("space_id", flat=True).distinct())
        wanted = {name_of(*pair) for pair in product(used, Gender, Gender)}
        unused = sorted(_known().keys() - wanted)
        _drop(unused)
        sketches.forget_all_but(used)
        return unused


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else builds, or drops what is being built."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [PREFIX])
        alone = bool(cursor.fetchone()[0])
    try:
        yield alone
    finally:
        # In a transaction that has failed nothing can be said; its connection goes.
        if alone and not connection.errors_occurred:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [PREFIX])


def _pairs(space: Space) -> list[tuple[str, str, int]]:
    """How many people of each gender seek each."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT gender, sought, count(*)"
            " FROM matching_personvector, unnest(seeking) AS sought"
            " WHERE space_id = %s GROUP BY gender, sought ORDER BY gender, sought",
            [space.pk],
        )
        rows: list[tuple[str, str, int]] = cursor.fetchall()
        return rows


def _known() -> dict[str, int]:
    """How many lists there are, by the name of their index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, o.option_value::int"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid,"
            " pg_options_to_table(c.reloptions) o"
            " WHERE i.indrelid = 'matching_personvector'::regclass"
            " AND starts_with(c.relname, %s) AND o.option_name = 'lists'",
            [PREFIX],
        )
        return dict(cursor.fetchall())


def _fitting(people: int) -> int:
    """How many lists so many people fill well."""
    return min(max(round(LISTS_PER_ROOT * math.sqrt(people)), 1), MOST_LISTS)


def _build(name: str, people: Sql, count: int) -> None:
    """Under another name until it is complete: whoever finds it by name may use it."""
    lists, unfinished = _fitting(count), f"{name}_unfinished"
    fitted = PEOPLE_FITTED * lists * (BYTES_PER_BOUND * lists + BYTES_PER_SKETCH)
    memory = max(fitted >> 20, LEAST_MEMORY_MB)
    _drop([unfinished])
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SET maintenance_work_mem = '{memory}MB'")
        try:
            cursor.execute(
                f"CREATE INDEX {_concurrently()} {unfinished} ON matching_personvector"
                " USING ivfflat (sketch halfvec_ip_ops)"
                f" WITH (lists = {lists}) WHERE {people.text}",
                people.values,
            )
        finally:
            if connection.is_usable():
                cursor.execute("RESET maintenance_work_mem; RESET statement_timeout")
    _drop([name])
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER INDEX {unfinished} RENAME TO {name}")


def _drop(names: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP INDEX {_concurrently()} IF EXISTS {name}")


def _concurrently() -> str:
    """Postgres refuses to build concurrently within a transaction."""
    return "" if connection.in_atomic_block else "CONCURRENTLY"
