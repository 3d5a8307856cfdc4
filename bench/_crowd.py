"""As many people as are asked for, in a database of their own, and how it went."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from bench._bench import rounded, timed
from bench._surroundings import own_surroundings
from matching import services, spaces
from matching.index import lists, sketches
from matching.management.commands.seedpeople import cache_folder, owner
from matching.models import Space
from matching.seeding.seeder import Seeder
from matching.seeding.sources import RealPairs, real_pairs
from twinby.progress import Progress

# Enough to measure the population by: the rest is made in the space of these, and by
# their sketch.
FITTED_TO = 20_000
MEGABYTE = 1024 * 1024


@contextmanager
def crowd(count: int) -> Iterator[dict[str, Any]]:
    """`count` people, searchable as in production; gives the figures of making them.

    The database is dropped afterwards. Other processes find it by DATABASE_URL.
    """
    with own_surroundings(), _announced():
        real = real_pairs(cache_folder())
        first = min(FITTED_TO, count)
        seed(first, real)
        services.fit_feature_space()
        sketches.define(spaces.active_space())
        _, seconds = timed(lambda: seed(count - first, real))
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        _, built = timed(lambda: lists.build_missing(spaces.active_space()))
        yield {
            "source": real.source,
            "seeded_per_second": rounded((count - first) / seconds * 1_000),
            "build_seconds": rounded(built / 1_000),
        }


def seed(count: int, real: RealPairs) -> None:
    """So many more people of one client in the active space."""
    if not count:
        return
    progress = Progress("Seeding people", count)
    space = spaces.active_space()
    Seeder(owner("load"), space, real, space.pk).seed(count, step=progress.step)
    progress.finish()


def sizes(space: Space) -> dict[str, Any]:
    """What the vectors, their lists and their other indexes take, in bytes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(pg_relation_size(indexrelid)) FILTER (WHERE listed),"
            " 0),"
            " coalesce(sum(pg_relation_size(indexrelid)) FILTER (WHERE NOT listed), 0)"
            " FROM (SELECT indexrelid, starts_with(indexrelid::regclass::text, %s)"
            " AS listed FROM pg_index"
            " WHERE indrelid = 'matching_personvector'::regclass) AS indexes",
            [f"{lists.PREFIX}_{space.pk}_"],
        )
        listed, other = cursor.fetchone()
        cursor.execute("SELECT pg_table_size('matching_personvector')")
        table = cursor.fetchone()[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "index_bytes": int(listed),
        "other_index_bytes": int(other),
        "table_bytes": int(table),
        "benchmark_resident_megabytes": round(peak / MEGABYTE),
    }


@contextmanager
def _announced() -> Iterator[None]:
    """The benchmark's own database, for processes that are started meanwhile."""
    before = os.environ.get("DATABASE_URL", "")
    base, _, _ = before.rpartition("/")
    os.environ["DATABASE_URL"] = f"{base}/{connection.settings_dict['NAME']}"
    try:
        yield
    finally:
        os.environ["DATABASE_URL"] = before
