"""The index in Postgres, and searches by its lists."""

from __future__ import annotations

import pytest

from matching import spaces
from matching.index import lists, pgvector
from matching.index.pgvector import PgvectorIndex


@pytest.fixture
def index(db: None) -> PgvectorIndex:
    return PgvectorIndex(spaces.active_space())


@pytest.fixture
def by_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search that can goes by lists, however few people there are."""
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 1)
    monkeypatch.setattr(lists, "LEAST_FITTED", 1)
    monkeypatch.setattr(pgvector, "ROW_COST", 1e9)
    monkeypatch.setattr(pgvector, "LEAST_FETCHED", 1)
