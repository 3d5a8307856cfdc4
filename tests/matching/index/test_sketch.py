"""Sketches: short, nearly of the same order, and the same in Python and in Postgres."""

from __future__ import annotations

import numpy as np
import pytest

from matching import spaces
from matching.features import SKETCH_WIDTH
from matching.index import lists, sketches
from matching.index.pgvector import PgvectorIndex
from matching.index.sketch import COMPONENTS, Sketch
from matching.models import PersonVector
from tests.matching.index.people import query, store, woman
from tests.matching.index.rows import build

RNG = np.random.default_rng(5)
PEOPLE = np.stack([woman(RNG).vector for _ in range(600)]).astype(np.float64)
SKETCH = Sketch.fit(PEOPLE)


def drawn(sketch: Sketch, vectors: np.ndarray) -> np.ndarray:
    """What the definition says, in double precision."""
    short = vectors @ sketch.basis.astype(np.float64).T - sketch.centre
    square = (short**2).sum(axis=1)
    slack = np.sqrt(np.maximum(0, sketch.length**2 - square))
    return np.column_stack([short, slack])


def test_the_nearest_by_sketch_hold_the_nearest() -> None:
    for _ in range(20):
        asked = query(RNG)
        nearest = np.argsort(-(PEOPLE @ asked))[:10]
        by_sketch = np.argsort(-(drawn(SKETCH, PEOPLE) @ SKETCH.of_query(asked)))
        assert set(nearest) <= set(by_sketch[:60])


def test_all_sketches_but_the_longest_are_of_one_length() -> None:
    lengths = np.linalg.norm(drawn(SKETCH, PEOPLE), axis=1)
    assert lengths.min() >= SKETCH.length * (1 - 1e-3)
    assert np.isclose(lengths, SKETCH.length, rtol=1e-3).mean() >= 0.99


def test_the_slack_adds_nothing_to_a_querys_order() -> None:
    assert SKETCH.of_query(query(RNG)).shape == (SKETCH_WIDTH,)
    assert SKETCH.of_query(query(RNG))[COMPONENTS] == 0


def test_a_sketch_that_was_kept_is_the_same() -> None:
    again = Sketch.from_bytes(SKETCH.to_bytes())
    assert (again.basis == SKETCH.basis).all()
    assert (again.centre == SKETCH.centre).all()
    assert again.length == SKETCH.length


def test_one_person_alone_can_be_sketched() -> None:
    assert np.isfinite(drawn(Sketch.fit(PEOPLE[:1]), PEOPLE)).all()


# In Postgres --------------------------------------------------------------------------


@pytest.fixture
def index(db: None) -> PgvectorIndex:
    people = [woman(RNG) for _ in range(30)]
    store(people)
    made = PgvectorIndex(spaces.active_space())
    made.upsert(people)
    return made


def stored() -> tuple[np.ndarray, np.ndarray]:
    rows = PersonVector.objects.values_list("vector", "sketch")
    vectors, made = zip(*rows, strict=True)
    assert None not in made
    return np.array(vectors, dtype=np.float64), np.array(made, dtype=np.float64)


def test_postgres_makes_the_same_sketches(index: PgvectorIndex) -> None:
    space = spaces.active_space()
    sketches.define(space)
    vectors, made = stored()
    sketch = sketches.sketch_of(space.pk)
    assert made == pytest.approx(drawn(sketch, vectors), abs=2e-3)


def test_whoever_comes_or_changes_is_sketched_at_once(index: PgvectorIndex) -> None:
    space = spaces.active_space()
    sketches.define(space)
    late, again = woman(RNG), woman(RNG)
    store([late])
    index.upsert([late])
    PersonVector.objects.exclude(profile=late.id).update(vector=again.vector.tolist())
    vectors, made = stored()
    assert made == pytest.approx(drawn(sketches.sketch_of(space.pk), vectors), abs=2e-3)


def test_a_sketch_stays_as_it_was_fitted(index: PgvectorIndex) -> None:
    space = spaces.active_space()
    sketches.define(space)
    before = sketches.sketch_of(space.pk)
    others = [woman(RNG) for _ in range(40)]
    store(others)
    index.upsert(others)
    sketches.define(space)
    sketches.sketch_of.cache_clear()
    assert sketches.sketch_of(space.pk).length == before.length


def test_nobody_is_sketched_where_there_are_no_lists(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not PersonVector.objects.exclude(sketch=None).exists()
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 10)
    build()
    assert not PersonVector.objects.filter(sketch=None).exists()
    PersonVector.objects.all().delete()
    build()
    one = woman(RNG)
    store([one])
    index.upsert([one])
    assert PersonVector.objects.get().sketch is None


def test_whoever_was_left_without_a_sketch_is_sketched_by_the_next_build(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 10)
    build()
    PersonVector.objects.update(sketch=None)
    assert build() == []
    assert not PersonVector.objects.filter(sketch=None).exists()
