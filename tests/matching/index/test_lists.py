"""Lists are made where many are, made anew where they must be, and dropped."""

from __future__ import annotations

import numpy as np
import pytest
from django.core.management import call_command
from django.db import connection

from matching import spaces
from matching.index import lists
from matching.index.pgvector import PgvectorIndex
from matching.models import PersonVector
from tests.matching.index.people import WANTED, query, store, woman
from tests.matching.index.rows import add, build, put

RNG = np.random.default_rng(17)
INVALID = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass"


def test_lists_are_made_where_many_are_and_dropped_with_its_space(
    index: PgvectorIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "LEAST_PEOPLE", 20)
    people = [woman(RNG) for _ in range(20)] + [woman(RNG, gender="man")]
    store(people)
    index.upsert(people)
    space = spaces.active_space()
    assert build() == [lists.name_of(space.pk, "woman", "man")]
    assert build() == []
    PersonVector.objects.all().delete()
    assert lists.drop_unused() == [lists.name_of(space.pk, "woman", "man")]


def test_a_build_that_broke_off_is_begun_again(
    index: PgvectorIndex, by_lists: None, capsys: pytest.CaptureFixture[str]
) -> None:
    put(index, 1)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    with connection.cursor() as cursor:  # as a server leaves it that is killed
        cursor.execute(f"ALTER INDEX {name} RENAME TO {name}_unfinished")
        cursor.execute(INVALID, [f"{name}_unfinished"])
    call_command("buildindexes")
    assert name in capsys.readouterr().out
    assert lists._known() == {name: 1}


def test_lists_whose_removal_broke_off_are_not_used_and_made_anew(
    index: PgvectorIndex, by_lists: None
) -> None:
    put(index, 200)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    with connection.cursor() as cursor:
        cursor.execute(INVALID, [name])
    assert index.search(query(RNG), WANTED, k=1)[0].is_exact
    assert build() == [name]
    assert not index.search(query(RNG), WANTED, k=1)[0].is_exact


def test_what_an_older_release_built_is_dropped(index: PgvectorIndex) -> None:
    name = f"personvector_graph_{spaces.active_space().pk}_woman_man"
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            f"CREATE INDEX {name} ON matching_personvector"
            " USING hnsw (sketch halfvec_ip_ops)"
        )
    assert lists.drop_unused() == [name]


@pytest.mark.parametrize(
    ("people", "pages", "fitting"),
    [
        (40_000, 34_000, 400),
        (383_000, 344_000, 1_238),
        (10_000, 344_000, 29),  # one in a hundred of a million
        (100_000_000, 90_000_000, 2_000),
        (1, 0, 1),
    ],
)
def test_there_are_as_many_lists_as_a_sample_of_the_table_fills(
    people: int, pages: int, fitting: int
) -> None:
    assert lists._fitting(people, pages) == fitting


def test_lists_that_a_space_has_outgrown_are_made_anew(
    index: PgvectorIndex, by_lists: None
) -> None:
    put(index, 4)
    name = lists.name_of(spaces.active_space().pk, "woman", "man")
    assert lists._known() == {name: 4}
    add(index, 11)
    assert build() == []
    add(index, 4)
    assert build() == [name]
    assert lists._known() == {name: 9}
