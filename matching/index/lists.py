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

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from matching.index import sketches
from matching.index.conditions import Sql, of
from matching.models import PersonVector, Space
from profiles.models import Gender
from twinby.alone import alone

# Fewer are read in some milliseconds.
LEAST_PEOPLE = 2_000
# So many times the square root of the people are the lists: decision 16.
LISTS_PER_ROOT, MOST_LISTS = 2.0, 2_000
# Lists that are fewer than this share of what would be made now are made anew.
OUTGROWN = 0.5
# pgvector fits lists to the people on so many pages of the table, drawn by lot, and
# holds a sketch and a bound for each list of every one of them. Of a small part of all
# people it finds few there, to whom only few lists can be fitted.
PAGES_PER_LIST, LEAST_PAGES, LEAST_FITTED = 50, 10_000, 10
BYTES_PER_BOUND, BYTES_PER_SKETCH = 4, 600
LEAST_MEMORY_MB = 64
PREFIX = "personvector_lists"


def name_of(space_id: int, gender: str, seeking: str) -> str:
    return f"{PREFIX}_{space_id}_{gender}_{seeking}"


def build_missing(space: Space) -> list[str]:
    """Make the lists that this space is large enough for; returns their names.

    Those that it has outgrown are made anew beside the old ones. Searches and writes go
    on meanwhile, unless this is called within a transaction. What broke off is begun
    again; nothing is done while another builds.
    """
    with alone(PREFIX) as is_alone:
        if not is_alone:
            return []
        known, pages = _known(), _pages()
        missing = {
            name: (gender, seeking, fitting)
            for gender, seeking, people in _pairs(space)
            if people >= LEAST_PEOPLE
            and known.get(name := name_of(space.pk, gender, seeking), 0)
            < OUTGROWN * (fitting := _fitting(people, pages))
        }
        if missing or sketches.are_incomplete(space):
            sketches.define(space)
        for name, (gender, seeking, fitting) in missing.items():
            _build(name, of(space.pk, [gender], seeking), fitting)
        return list(missing)


def drop(space: Space) -> None:
    """Drop the lists of this space: before very many people are added to it.

    Nothing is done while another builds.
    """
    with alone(PREFIX) as is_alone:
        if is_alone:
            of_space = f"{PREFIX}_{space.pk}_"
            _drop(name for name in _known() if name.startswith(of_space))


def drop_unused() -> list[str]:
    """Drop what is no list of a space that holds anybody; returns the names.

    What broke off, and what an older release has built, is none. Nothing is done while
    another builds.
    """
    with alone(PREFIX) as is_alone:
        if not is_alone:
            return []
        used = set(PersonVector.objects.values_list("space_id", flat=True).distinct())
        wanted = {name_of(*pair) for pair in product(used, Gender, Gender)}
        unused = sorted(_known().keys() - wanted)
        _drop(unused)
        sketches.forget_all_but(used)
        return unused


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


def _pages() -> int:
    """How many the table has."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_relation_size('matching_personvector')"
            " / current_setting('block_size')::int"
        )
        return int(cursor.fetchone()[0])


def _known() -> dict[str, int]:
    """The indexes by nearness, and of how many lists each is; 0 if it is of no use."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, CASE WHEN i.indisvalid AND a.amname = 'ivfflat' THEN"
            " (SELECT option_value::int FROM pg_options_to_table(c.reloptions)"
            " WHERE option_name = 'lists') ELSE 0 END"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " JOIN pg_am a ON a.oid = c.relam"
            " WHERE i.indrelid = 'matching_personvector'::regclass"
            " AND a.amname IN ('hnsw', 'ivfflat')"
            " AND starts_with(c.relname, 'personvector_')"
        )
        return dict(cursor.fetchall())


def _fitting(people: int, pages: int) -> int:
    """How many lists so many people, of a table of so many pages, fill well."""
    lists = min(round(LISTS_PER_ROOT * math.sqrt(people)), MOST_LISTS)
    drawn = max(PAGES_PER_LIST * lists, LEAST_PAGES) / max(pages, 1)
    return max(min(lists, int(people * min(drawn, 1) / LEAST_FITTED)), 1)


def _build(name: str, people: Sql, lists: int) -> None:
    """Under another name until it is complete: then it takes the place of what was."""
    unfinished, old = f"{name}_unfinished", f"{name}_old"
    fitted = max(PAGES_PER_LIST * lists, LEAST_PAGES)
    needed = fitted * (BYTES_PER_BOUND * lists + BYTES_PER_SKETCH)
    with _unhurried(max(needed >> 20, LEAST_MEMORY_MB)) as cursor:
        _drop([unfinished, old])
        cursor.execute(
            f"CREATE INDEX {_concurrently()} {unfinished} ON matching_personvector"
            " USING ivfflat (sketch halfvec_ip_ops)"
            f" WITH (lists = {lists}) WHERE {people.text}",
            people.values,
        )
        with transaction.atomic():
            cursor.execute(f"ALTER INDEX IF EXISTS {name} RENAME TO {old}")
            cursor.execute(f"ALTER INDEX {unfinished} RENAME TO {name}")
        _drop([old])


@contextmanager
def _unhurried(memory_mb: int) -> Iterator[CursorWrapper]:
    """Without the limit of other statements, and with so much memory."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SET maintenance_work_mem = '{memory_mb}MB'")
        try:
            yield cursor
        finally:
            if connection.is_usable():
                cursor.execute("RESET maintenance_work_mem; RESET statement_timeout")


def _drop(names: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP INDEX {_concurrently()} IF EXISTS {name}")


def _concurrently() -> str:
    """Postgres refuses to build concurrently within a transaction."""
    return "" if connection.in_atomic_block else "CONCURRENTLY"
