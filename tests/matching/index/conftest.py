"""The index in Postgres, and searches by its lists."""

from __future__ import annotations

import pytest

from matching import spaces
from matching.index import costs, lists, prefetch
from matching.index.pgvector import PgvectorIndex


@pytest.fixture
def index(db: None) -> PgvectorIndex:
    return PgvectorIndex(spaces.active_space())


@pytest.fixture
def by_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search that can goes by lists, however few people there are."""
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 1)
    monkeypatch.setattr(lists, "LEAST_FITTED", 1)
    monkeypatch.setattr(costs, "ROW_COST", 1e9)
    monkeypatch.setattr(costs, "ENTRY_COST", 1e9)
    monkeypatch.setattr(prefetch, "LEAST_FETCHED", 1)


@pytest.fixture
def by_sketches(by_lists: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search that can looks at the sketches of all who pass."""
    monkeypatch.setattr(costs, "ENTRY_COST", 0.0)
    monkeypatch.setattr(costs, "SKETCH_COST", 1e9)
