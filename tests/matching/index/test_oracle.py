"""On any filter shape the engine loses nobody and lets nobody through."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from matching import spaces
from matching.features import WIDTH
from matching.index import costs, lists, prefetch
from matching.index.base import Effort, Entry, Filter, Hit
from matching.index.conditions import Sql
from matching.index.costs import Estimate
from matching.index.exact import ExactIndex
from matching.index.pgvector import PgvectorIndex
from matching.index.prefetch import Part
from profiles.models import Gender
from tests.matching.index.people import WANTED, crowd, filters, query, store
from tests.matching.index.rows import believed, near

TIE = 1e-3
PARTS = PgvectorIndex._parts
# What makes each way to the nearest the cheapest.
COSTS: dict[str, Any] = {
    "rows": {"ROW_COST": 0.0},
    "lists": {"ROW_COST": 1e9, "ENTRY_COST": 1e9},
    "sketches": {"ROW_COST": 1e9, "ENTRY_COST": 0.0, "SKETCH_COST": 1e9},
}
WIDE = replace(WANTED, genders=tuple(Gender.values))


class TestAgainstTheOracle(TestCase):
    """By rows, by lists and by sketches, though the people are few."""

    people: list[Entry]
    oracle: ExactIndex
    index: PgvectorIndex

    @classmethod
    def setUpTestData(cls) -> None:
        people, space = crowd(500), spaces.active_space()
        cls.people = people
        store(people)
        cls.oracle, cls.index = ExactIndex(), PgvectorIndex(space)
        cls.oracle.upsert(people)
        cls.index.upsert(people)
        with connection.cursor() as cursor:  # no index is built while checks wait
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        with mock.patch.object(lists, "LEAST_PEOPLE", 1):
            # Everybody seeks men, and some women as well.
            assert len(lists.build_missing(space)) == 6

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(
        wanted=filters,
        k=st.integers(1, 30),
        excluded=st.integers(0, 60),
        way=st.sampled_from(list(COSTS)),
        sizes=st.tuples(*[st.sampled_from([0.0, 60.0, 150.0, 9e3])] * len(Gender)),
        many=st.sampled_from([1, 1_000]),
        seed=st.integers(0, 3),
    )
    def test_no_shape_gives_a_short_page_or_a_wrong_person(
        self,
        wanted: Filter,
        k: int,
        excluded: int,
        way: str,
        sizes: tuple[float, ...],
        many: int,
        seed: int,
    ) -> None:
        asked = query(np.random.default_rng(seed))
        everybody = self.oracle.search(asked, wanted, k=1_000)
        out = frozenset(hit.id for hit in everybody[:excluded])
        expected = [hit for hit in everybody if hit.id not in out]
        few = mock.patch.multiple(
            prefetch, LEAST_FETCHED=1, FETCH_FACTOR=1, MANY_EXCLUDED=many
        )
        # Of so few, a sample may hold nobody; and it may be far from the truth.
        estimates = (Estimate(200, passing, 25, passing) for passing in sizes)
        about = believed(*estimates) if way != "rows" else PARTS
        known = mock.patch.object(PgvectorIndex, "_parts", about)
        with few, known, mock.patch.multiple(costs, **COSTS[way]):
            hits = self.index.search(asked, wanted, k=k, exclude=out)
        assert len(hits) == min(k, len(expected))
        true = {hit.id: hit.distance for hit in expected}
        assert all(abs(true[hit.id] - hit.distance) < TIE for hit in hits)
        assert hits == sorted(hits)
        assert equal(hits, expected[:k]) or not all(hit.is_exact for hit in hits)

    @settings(max_examples=25, deadline=None)
    @given(wanted=filters, excluded=st.integers(0, 60))
    def test_as_many_are_counted_as_pass(self, wanted: Filter, excluded: int) -> None:
        asked = query(np.random.default_rng(0))
        everybody = self.oracle.search(asked, wanted, k=1_000)
        out = [hit.id for hit in everybody[:excluded]]
        assert self.index.count(wanted) == len(everybody)
        left = self.index.count(wanted, exclude=[*out, uuid.uuid4()])
        assert left == len(everybody) - len(out)

    @settings(max_examples=25, deadline=None)
    @given(wanted=filters, k=st.integers(1, 20), seed=st.integers(0, 3))
    def test_pages_without_those_before_are_the_whole_list(
        self, wanted: Filter, k: int, seed: int
    ) -> None:
        asked = query(np.random.default_rng(seed))
        got: list[Hit] = []
        while len(got) % k == 0:
            before = [hit.id for hit in got]
            page = self.index.search(
                asked, wanted, k=k, effort=Effort.EXACT, exclude=before
            )
            got += page
            if not page:
                break
        assert equal(got, self.oracle.search(asked, wanted, k=1_000))

    def test_lists_and_sketches_are_used_and_find_nearly_all(self) -> None:
        """Else the property above would have shown nothing of them."""
        many = mock.patch.object(
            PgvectorIndex, "_parts", believed(Estimate(200, 150, 25, 150))
        )
        # Of vectors drawn at random, which have no neighbourhoods, all lists are read.
        every = mock.patch.object(costs, "READ_POWER", 0)
        some = mock.patch.object(prefetch, "LEAST_FETCHED", 40)
        for way in "lists", "sketches":
            shares = []
            with many, every, some, mock.patch.multiple(costs, **COSTS[way]):
                for seed in range(10):
                    asked = query(np.random.default_rng(seed))
                    hits = self.index.search(asked, WIDE, k=10)
                    assert not any(hit.is_exact for hit in hits)
                    best = self.oracle.search(asked, WIDE, k=10)
                    shares.append(len(ids(hits) & ids(best)) / 10)
            assert np.mean(shares) >= 0.98

    def told(self, asked: np.ndarray[Any, Any], k: int) -> CaptureQueriesContext:
        """What Postgres is told in a search of all genders."""
        with CaptureQueriesContext(connection) as searched:
            self.index.search(asked, WIDE, k=k)
        return searched

    def test_postgres_is_asked_once_for_all_genders(self) -> None:
        """And reads of each as many lists as are worth it there."""
        each = believed(*(Estimate(200, 150, lists, 150) for lists in (11, 22, 33)))
        every = mock.patch.multiple(costs, READ_POWER=0, **COSTS["lists"])
        few = mock.patch.object(prefetch, "LEAST_FETCHED", 1)
        with mock.patch.object(PgvectorIndex, "_parts", each), every, few:
            told = self.told(query(np.random.default_rng(0)), k=1)
        (sql,) = near(told)
        read = re.findall(r"set_config\('ivfflat.probes', '(\d+)'", sql)
        assert read == ["11", "22", "33"]

    def test_what_is_known_of_all_genders_is_asked_once(self) -> None:
        told = self.told(query(np.random.default_rng(0)), k=1)
        assert sum("reltuples" in one["sql"] for one in told) == 1

    def test_a_small_gender_whom_the_taste_prefers_is_looked_for_again(self) -> None:
        women = np.array([one.declared.gender == "woman" for one in self.people])
        vectors = np.array([one.vector for one in self.people], np.float32)
        asked = vectors[women].mean(axis=0) - vectors[~women].mean(axis=0)
        asked[WIDTH:] = 0
        best = ids(self.oracle.search(asked, WIDE, k=20))
        believed_few = [70 if one == "woman" else 100_000 for one in WIDE.genders]
        each = believed(*(Estimate(200, passing, 25) for passing in believed_few))
        every = mock.patch.multiple(costs, READ_POWER=0, **COSTS["lists"])
        some = mock.patch.object(prefetch, "LEAST_FETCHED", 60)
        with mock.patch.object(PgvectorIndex, "_parts", each), every, some:
            hits = self.index.search(asked, WIDE, k=20)
            told = self.told(asked, k=20)
        first, second = near(told)
        fetched = [int(count) for count in re.findall(r"LIMIT (\d+)", first)]
        assert fetched == [12 if passing == 70 else 60 for passing in believed_few]
        assert re.findall(r"LIMIT (\d+)", second) == ["60"]
        assert not any(hit.is_exact for hit in hits)
        assert len(ids(hits) & best) >= 19

    def test_where_a_large_gender_had_too_few_a_small_one_is_looked_for_again(
        self,
    ) -> None:
        """As it is for another number of people that few were enough."""
        parts = [Part(Sql(""), Estimate(200, passing, 25)) for passing in (60, 9e3)]
        few, more = [[(uuid.uuid4(), float(n)) for n in range(k)] for k in (4, 11)]
        answers = [[few, []], [more]]
        looked = mock.patch.object(prefetch, "_of_each", side_effect=answers)
        with looked as asked:
            found = prefetch.nearest(parts, mock.Mock(), 11, frozenset())
        assert found == [more, []]
        assert [call.args[:2] for call in asked.call_args_list] == [
            (parts, [4, 11]),
            (parts[:1], [11]),
        ]

    def test_no_setting_of_the_lists_stays_behind(self) -> None:
        with (
            mock.patch.object(prefetch, "LEAST_FETCHED", 1),
            mock.patch.multiple(costs, **COSTS["lists"]),
        ):
            self.index.search(query(np.random.default_rng(0)), WIDE, k=3)
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('enable_sort')")
            assert cursor.fetchone() == ("on",)


def ids(hits: list[Hit]) -> set[uuid.UUID]:
    return {hit.id for hit in hits}


def equal(hits: list[Hit], expected: list[Hit]) -> bool:
    """The same list, but for people who are as near as makes no difference."""
    return [hit.id for hit in hits] == [hit.id for hit in expected] or all(
        abs(hit.distance - other.distance) < TIE
        for hit, other in zip(hits, expected, strict=True)
    )
