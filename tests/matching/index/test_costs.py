"""Which way a search takes, by what is known of those who pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from matching.index import pgvector
from matching.index.base import Circle
from matching.index.costs import Estimate
from tests.matching.index.people import WANTED

EVERY_SKETCH, ROWS = 0, None
NO_INDEX = math.inf
LONDON = Circle(latitude=51.5, longitude=-0.1, radius_km=50)


@pytest.mark.parametrize(
    ("people", "passing", "excluded", "entries", "probes"),
    [
        # Of a hundred thousand people, and of a million: most of a gender.
        (38_000, 25_000, 0, 38_000, 94),
        (380_000, 250_000, 0, 380_000, 187),
        # Those around a large city, as many of an age, and with a wish on attributes.
        (380_000, 13_700, 0, 13_700, EVERY_SKETCH),
        (380_000, 13_700, 0, 380_000, ROWS),
        (380_000, 13_700, 0, NO_INDEX, ROWS),
        (38_000, 1_400, 0, 1_400, EVERY_SKETCH),
        # Hardly anybody.
        (380_000, 1_000, 0, 1_000, EVERY_SKETCH),
        (38_000, 100, 0, 100, ROWS),
        (38_000, 200, 0, 200, ROWS),
        # The ten thousand nearest have been seen.
        (38_000, 25_000, 10_000, 38_000, EVERY_SKETCH),
        (38_000, 25_000, 10_000, NO_INDEX, ROWS),
        (38_000, 10_100, 10_000, 10_100, ROWS),
    ],
)
def test_the_cheapest_way_is_taken(
    people: int, passing: int, excluded: int, entries: float, probes: int | None
) -> None:
    lists = round(2 * math.sqrt(people))
    estimate = Estimate(people, passing, lists, entries)
    assert estimate.probes(200, 20 + excluded, excluded) == probes


def test_the_deeper_a_page_the_more_lists_are_read() -> None:
    estimate = Estimate(people=380_000, passing=250_000, lists=1_250)
    ranks = 20, 200, 1_000, 5_000
    read = [estimate.probes(600, rank) for rank in ranks]
    assert read == sorted(read, key=lambda lists: lists or 0)
    assert len(set(read)) == len(ranks)


def test_nobody_who_passes_is_no_error() -> None:
    assert Estimate(people=0, passing=0, lists=10).probes(200, 20) is ROWS


@pytest.mark.parametrize(
    ("asked", "entries"),
    [
        ({}, 38_000),
        ({"circle": LONDON, "smokes": False}, 64 * 20),
        ({"circle": LONDON, "must": ("eyewear.glasses",)}, NO_INDEX),
        ({"circle": LONDON, "never": ("headwear.hat",)}, NO_INDEX),
    ],
)
def test_an_index_by_place_narrows_places_and_knows_no_wishes(
    asked: dict[str, Any], entries: float
) -> None:
    found = pgvector._estimate(replace(WANTED, **asked), 38_000, 20, 400)
    assert found == Estimate(38_000, 64 * 20, 400, entries)
