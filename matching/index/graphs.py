"""Graphs (HNSW) over the sketches of those in a space who are of one gender and seek
one: built, known, dropped.

A graph of everybody would find a gender's people slowly, and some not at all; so would
one of all men the men who seek men. Where few are, none is needed: reading all of them
is as quick, and exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

from django.db import connection

from matching.index import sketches
from matching.index.conditions import Sql, of
from matching.models import PersonVector, Space
from profiles.models import Gender

# Below it a search reads everybody in no more time than a graph would take.
LEAST_PEOPLE = 10_000
# Edges a node, and how far its neighbours are looked for: measured, decision 15.
EDGES = 32
BREADTH = 200
# A build that fits in memory is many times as quick; a row takes some 2 KB of it.
MEMORY_BYTES_PER_PERSON = 2_000
LEAST_MEMORY_MB, MOST_MEMORY_MB = 64, 4_096
PREFIX = "personvector_graph"


def _space_id(name: str) -> int:
    return int(name.removeprefix(f"{PREFIX}_").split("_")[0])


def name_of(space_id: int, gender: str, seeking: str) -> str:
    return f"{PREFIX}_{space_id}_{gender}_{seeking}"


def build_missing(space: Space) -> list[str]:
    """Build the graphs that this space is large enough for; returns their names.

    Searches and writes go on meanwhile, unless this is called within a transaction. A
    graph whose build broke off is begun again; nothing is done while another builds.
    """
    with _alone() as alone:
        if not alone:
            return []
        usable = _graphs(valid=True)
        missing = {
            name_of(space.pk, gender, seeking): (gender, seeking, people)
            for gender, seeking, people in _pairs(space)
            if people >= LEAST_PEOPLE
            and name_of(space.pk, gender, seeking) not in usable
        }
        if missing or sketches.are_incomplete(space):
            sketches.define(space)
        for name, (gender, seeking, people) in missing.items():
            _drop([name])
            _build(name, of(space.pk, [gender], seeking), people)
        return list(missing)


def drop(space: Space) -> None:
    """Drop the graphs of this space: before very many people are added to it."""
    _drop(name for name in _graphs() if _space_id(name) == space.pk)


def drop_unused() -> list[str]:
    """Drop what is no graph of a space that holds anybody; returns their names.

    Graphs of an older release, which know no pairs, are none. Nothing is done while
    another builds.
    """
    with _alone() as alone:
        if not alone:
            return []
        used = set(PersonVector.objects.values_list("space_id", flat=True).distinct())
        known = {name_of(*graph) for graph in product(used, Gender, Gender)}
        unused = sorted(_graphs() - known)
        _drop(unused)
        sketches.forget_all_but(used)
        return unused


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether nobody else builds: an invalid graph may be one that is being built."""
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


def _graphs(*, valid: bool = False) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE i.indrelid = 'matching_personvector'::regclass"
            " AND starts_with(c.relname, %s) AND (i.indisvalid OR NOT %s)",
            [PREFIX, valid],
        )
        return {name for (name,) in cursor.fetchall()}


def _build(name: str, people: Sql, count: int) -> None:
    needed = count * MEMORY_BYTES_PER_PERSON >> 20
    memory = min(max(needed, LEAST_MEMORY_MB), MOST_MEMORY_MB)
    quoted = connection.ops.quote_name(name)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(f"SET maintenance_work_mem = '{memory}MB'")
        try:
            cursor.execute(
                f"CREATE INDEX {_concurrently()} {quoted} ON matching_personvector"
                " USING hnsw (sketch halfvec_ip_ops)"
                f" WITH (m = {EDGES}, ef_construction = {BREADTH}) WHERE {people.text}",
                people.values,
            )
        finally:
            if connection.is_usable():
                cursor.execute("RESET maintenance_work_mem; RESET statement_timeout")


def _drop(names: Iterable[str]) -> None:
    with connection.cursor() as cursor:
        for name in names:
            quoted = connection.ops.quote_name(name)
            cursor.execute(f"DROP INDEX {_concurrently()} IF EXISTS {quoted}")


def _concurrently() -> str:
    """Postgres refuses to build concurrently within a transaction."""
    return "" if connection.in_atomic_block else "CONCURRENTLY"
