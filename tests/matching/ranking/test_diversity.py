import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.features import WIDTH
from matching.ranking.base import Candidate, by_score
from matching.ranking.diversity import MAX_PICKS, Diversity
from tests.matching.ranking.people import crowd, person

SEEDS = st.integers(0, 2**32 - 1)


def alike(first: int, second: int, cosine: float) -> np.ndarray:
    """A unit vector of which the first axis is `cosine`."""
    vector = np.zeros(WIDTH)
    vector[first], vector[second] = cosine, np.sqrt(1 - cosine**2)
    return vector


def test_a_double_comes_after_somebody_else() -> None:
    people = [
        Candidate("best", alike(0, 1, 1.0)),
        Candidate("double", alike(0, 1, 0.9)),
        Candidate("other", alike(5, 6, 1.0)),
    ]
    scores = np.array([1.0, 0.9, 0.8])
    penalties = Diversity(0.5)(people, scores)
    assert penalties == pytest.approx([0.0, -0.45, 0.0])
    assert by_score(people, scores + penalties) == [0, 2, 1]


def test_being_the_opposite_of_somebody_earns_nothing() -> None:
    people = [person("ann", 1.0), person("opposite", -1.0)]
    assert Diversity(1.0)(people, np.array([1.0, 0.0])).tolist() == [0.0, 0.0]


def test_somebody_of_whom_nothing_is_known_is_like_nobody() -> None:
    people = [person("ann", 0.0), person("bob", 0.0), person("cy", 1.0)]
    assert Diversity(1.0)(people, np.ones(3)).tolist() == [0.0, 0.0, 0.0]


def test_of_equals_the_first_by_id_is_picked_and_the_others_pay() -> None:
    people = [person(name, 1.0) for name in ("cy", "ann", "bob")]
    penalties = Diversity(0.5)(people, np.zeros(3))
    assert penalties == pytest.approx([-0.5, 0.0, -0.5])


def slowly(people: list[Candidate], scores: np.ndarray, weight: float) -> np.ndarray:
    """The same by the book: pick, compare everybody with all that were picked."""
    units = np.stack([p.features / np.linalg.norm(p.features) for p in people])
    penalties, picked = np.zeros(len(people)), list[int]()
    while len(picked) < len(people):
        for i in set(range(len(people))) - set(picked):
            cosines = [float(units[i] @ units[j]) for j in picked]
            penalties[i] = -weight * max([0.0, *cosines])
        order = by_score(people, scores + penalties)
        picked.append(next(i for i in order if i not in picked))
    return penalties


@given(seed=SEEDS, weight=st.floats(0.1, 3))
def test_it_picks_as_the_book_does(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    people = crowd(rng, 12)
    scores = rng.normal(size=12)
    fast = Diversity(weight)(people, scores)
    assert fast == pytest.approx(slowly(people, scores, weight), abs=1e-12)


@given(seed=SEEDS)
def test_without_a_weight_nothing_changes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = crowd(rng, 10)
    assert not Diversity(0.0)(people, rng.normal(size=10)).any()


@given(seed=SEEDS, weight=st.floats(0.1, 3))
def test_to_sort_by_score_is_the_order_of_the_picks(seed: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    people = crowd(rng, 12)
    scores = rng.normal(size=12)
    final = scores + Diversity(weight)(people, scores)
    order = by_score(people, final)
    units = np.stack([p.features / np.linalg.norm(p.features) for p in people])
    for place, i in enumerate(order):
        before = [max(0.0, float(units[i] @ units[j])) for j in order[:place]]
        paid = scores[i] - final[i]
        assert paid == pytest.approx(weight * max(before, default=0.0), abs=1e-9)
    assert all(a >= b for a, b in itertools.pairwise(final[order]))


def test_its_work_is_bounded_by_the_picks() -> None:
    rng = np.random.default_rng(0)
    people = crowd(rng, MAX_PICKS + 200)
    people[-1] = Candidate("p999", people[-2].features)  # a double, but far behind
    scores = np.arange(len(people), 0.0, -1.0)  # picked in the order given
    began = time.process_time()
    penalties = Diversity(0.5)(people, scores)
    assert time.process_time() - began < 1.0
    units = np.stack([p.features / np.linalg.norm(p.features) for p in people])
    likeness = np.maximum(units[-1] @ units[:MAX_PICKS].T, 0.0).max()
    assert penalties[-1] == pytest.approx(-0.5 * likeness)
