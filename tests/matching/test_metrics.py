import math

import numpy as np
import pytest

from matching.metrics import (
    auc,
    bootstrap_interval,
    identity_retrieval,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
    silhouette,
    triplet_accuracy,
)


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    assert auc([4, 3, 2, 1], relevant=[1, 0, 1, 0]) == 0.75
    assert auc([4, 3, 2, 1], relevant=[1, 1, 0, 0]) == 1.0
    assert auc([1, 2, 3, 4], relevant=[1, 1, 0, 0]) == 0.0


def test_auc_counts_ties_half() -> None:
    assert auc([1, 1, 1], relevant=[1, 0, 0]) == 0.5


@pytest.mark.parametrize("relevant", [[0, 0], [1, 1]])
def test_auc_needs_both_kinds(relevant: list[int]) -> None:
    with pytest.raises(ValueError, match="relevant and other"):
        auc([1, 2], relevant=relevant)


def test_precision_counts_hits_among_the_first_k() -> None:
    scores, relevant = [5, 4, 3, 2, 1], [1, 0, 1, 1, 1]
    assert precision_at_k(scores, relevant=relevant, k=2) == 0.5
    assert precision_at_k(scores, relevant=relevant, k=3) == pytest.approx(2 / 3)


def test_precision_of_a_short_page_counts_what_is_missing() -> None:
    assert precision_at_k([2, 1], relevant=[1, 1], k=4) == 0.5


def test_ndcg_discounts_by_position() -> None:
    assert ndcg_at_k([3, 2, 1], gains=[3, 2, 1], k=3) == 1.0
    worst = ndcg_at_k([1, 2, 3], gains=[3, 2, 1], k=3)
    dcg = 1 + 2 / math.log2(3) + 3 / 2
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert worst == pytest.approx(dcg / ideal)


def test_ndcg_without_any_gain_is_zero() -> None:
    assert ndcg_at_k([3, 2, 1], gains=[0, 0, 0], k=2) == 0.0


def test_recall_is_the_share_of_the_true_neighbours_found() -> None:
    assert recall_at_k(["a", "x", "b"], exact=["a", "b", "c"], k=3) == pytest.approx(
        2 / 3
    )
    assert recall_at_k(["b", "a"], exact=["a", "b"], k=2) == 1.0


def test_recall_of_a_short_answer_counts_what_is_missing() -> None:
    assert recall_at_k(["a"], exact=["a", "b"], k=2) == 0.5


def test_recall_of_nothing_to_find_is_complete() -> None:
    assert recall_at_k([], exact=[], k=10) == 1.0


def test_the_bootstrap_interval_holds_the_mean_and_narrows() -> None:
    rng = np.random.default_rng(0)
    few, many = rng.normal(0.6, 0.1, 20), rng.normal(0.6, 0.1, 2000)
    low, high = bootstrap_interval(many)
    assert low < many.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(2000), rel=0.15)
    wide_low, wide_high = bootstrap_interval(few)
    assert wide_high - wide_low > 3 * (high - low)


def test_the_bootstrap_interval_is_the_same_every_time() -> None:
    values = np.random.default_rng(1).random(30)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_every_score_needs_its_label() -> None:
    with pytest.raises(ValueError, match="one label per score"):
        precision_at_k([1, 2], relevant=[1], k=1)


# Embeddings by identity ---------------------------------------------------------------


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
    monkeypatch.setattr("matching.metrics.CHUNK", 7)
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


def test_triplet_accuracy_is_a_share_and_a_tie_counts_half() -> None:
    triplets = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 0], [2, 1, 0]])
    assert triplet_accuracy(at_degrees(0, 10, 90), triplets=triplets) == 2.5 / 4
