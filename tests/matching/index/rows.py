"""Women in Postgres, with lists of them if they are not too few."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np
from django.db import connection
from django.test.utils import CaptureQueriesContext

from matching import services
from matching.index.base import Filter
from matching.index.conditions import Sql
from matching.index.costs import Estimate
from matching.index.pgvector import PgvectorIndex
from matching.index.prefetch import Part
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


def near(searched: CaptureQueriesContext) -> list[str]:
    """Of what Postgres was told, where it was asked for the nearest by an index."""
    return [one["sql"] for one in searched if "WITH near" in one["sql"]]


def believed(*estimates: Estimate) -> Callable[..., dict[str, Part]]:
    """In place of what is known of each gender: of so few a sample may hold nobody.

    One estimate for all of them, or one for each in turn.
    """

    def parts(
        _: PgvectorIndex, rows: dict[str, Sql], wanted: Filter
    ) -> dict[str, Part]:
        pairs = zip(rows.items(), cycle(estimates), strict=False)
        return {gender: Part(those, known) for (gender, those), known in pairs}

    return parts
