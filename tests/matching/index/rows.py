"""Women in Postgres, with lists of them if they are not too few."""

from __future__ import annotations

import numpy as np
from django.db import connection

from matching import services
from matching.index.pgvector import PgvectorIndex
from tests.matching.index.people import store, woman

RNG = np.random.default_rng(13)


def add(index: PgvectorIndex, count: int) -> None:
    """So many more."""
    people = [woman(RNG) for _ in range(count)]
    store(people)
    index.upsert(people)


def put(index: PgvectorIndex, count: int) -> None:
    """So many, and lists of them."""
    add(index, count)
    build()


def build() -> list[str]:
    """What the hour's work builds; returns the names."""
    with connection.cursor() as cursor:  # no index is built while checks wait
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    return services.build_indexes()
