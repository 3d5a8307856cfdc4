"""Photos of one person are found by one another, as worked out by hand."""

import numpy as np
import pytest

from annotation.evaluation.identity import identity_retrieval, silhouette


def at_degrees(*degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    angle = np.radians(degrees)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_retrieval_by_identity_is_that_worked_out_by_hand() -> None:
    # Nearest to 0 and 10 is each other, to 60 it is 21 (both b); to 21 it is 10 (a).
    photos = at_degrees(0, 10, 21, 60, 180)
    found = identity_retrieval(photos, people=["a", "a", "b", "b", "alone"])
    assert found["recall_at_1"] == pytest.approx(3 / 4)
    assert found["recall_at_5"] == 1
    # R is 1 for everybody: MAP@R is recall@1.
    assert found["map_at_r"] == pytest.approx(3 / 4)


def test_map_at_r_counts_precision_at_the_ranks_of_hits() -> None:
    # From 0: hit, miss, (R = 2 ends): 1/2. From 1 and 40: hit, miss and miss, miss.
    photos = at_degrees(0, 1, 40, 20, 200)
    found = identity_retrieval(photos, people=["a", "a", "a", "x", "y"])
    assert found["map_at_r"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)


def test_retrieval_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    photos = rng.normal(size=(50, 8))
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    people = rng.integers(0, 12, 50)
    whole = identity_retrieval(photos, people=people), silhouette(photos, people=people)
    monkeypatch.setattr("annotation.evaluation.identity.CHUNK", 7)
    assert identity_retrieval(photos, people=people) == pytest.approx(whole[0])
    assert silhouette(photos, people=people) == pytest.approx(whole[1])


def test_the_silhouette_is_that_worked_out_by_hand() -> None:
    photos = at_degrees(0, 60, 180, 180)
    a, far, near = 1.0, 2.0, np.sqrt(3)  # chords of 60, 180 and 120 degrees
    expected = ((far - a) / far + (near - a) / near + 1 + 1) / 4
    assert silhouette(photos, people=[*"aabb"]) == pytest.approx(expected, abs=1e-3)


def test_without_two_photos_of_somebody_there_is_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="nobody"):
        identity_retrieval(at_degrees(0, 90), people=["a", "b"])
    with pytest.raises(ValueError, match="two people"):
        silhouette(at_degrees(0, 10, 90), people=["a", "a", "b"])
