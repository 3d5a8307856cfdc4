import math

import numpy as np
import pytest

from matching.metrics import (
    auc,
    bootstrap_interval,
    gini,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
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


def at_degrees(*degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    angle = np.radians(degrees)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def test_triplet_accuracy_is_a_share_and_a_tie_counts_half() -> None:
    triplets = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 0], [2, 1, 0]])
    assert triplet_accuracy(at_degrees(0, 10, 90), triplets=triplets) == 2.5 / 4


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    amounts = np.array([1.0, 0.0, 4.0, 3.0])
    differences = np.abs(amounts[:, None] - amounts)
    assert gini(amounts) == pytest.approx(differences.mean() / (2 * amounts.mean()))


def test_gini_is_0_of_equal_shares_and_of_nothing() -> None:
    assert gini([2, 2, 2]) == gini([0, 0]) == gini([]) == 0
    assert gini([0, 0, 0, 8]) == 0.75


def test_gini_is_of_amounts() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        gini([1, -1])
