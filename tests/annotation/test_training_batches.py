"""What a batch is made of, and what is learned from its labels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import Head
from annotation.training.augment import Changes, augment
from annotation.training.batches import (
    PHOTOS_PER_PERSON,
    balanced,
    interleaved,
    people_together,
    with_company,
)
from annotation.training.losses import (
    heads_loss,
    known_binary_loss,
    partial_label_loss,
)
from annotation.training.metric import ContrastLoss, MetricLoss, TripletLoss
from annotation.training.views import Views
from tests.annotation.blocks import blocks

pytestmark = pytest.mark.torch


def test_a_label_that_can_mean_two_classes_is_satisfied_by_either() -> None:
    either = torch.tensor([[1, 1, 0]])
    for logits in ([[9.0, -9.0, -9.0]], [[-9.0, 9.0, -9.0]]):
        assert partial_label_loss(torch.tensor(logits), either) < 1e-3
    assert partial_label_loss(torch.tensor([[-9.0, -9.0, 9.0]]), either) > 9


def test_missing_labels_teach_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    nothing = partial_label_loss(logits, torch.zeros(4, 3))
    nothing = nothing + known_binary_loss(logits, torch.full((4, 3), UNKNOWN))
    torch.autograd.backward(nothing)
    assert nothing.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_a_head_counts_by_its_weight() -> None:
    heads = (Head("hair", ("black", "blonde")), Head("hat", ("none", "worn")))
    logits, targets = torch.zeros(1, 4), torch.tensor([[1, 0, 0, 1]])
    one = partial_label_loss(logits[:, :2], targets[:, :2])
    assert heads_loss(logits, targets, heads) == pytest.approx(2 * one)
    weighed = heads_loss(logits, targets, heads, weights={"hat": 3.0})
    assert weighed == pytest.approx(4 * one)


@pytest.mark.parametrize(
    "loss", [TripletLoss(hard=True), ContrastLoss(), ContrastLoss(5)]
)
def test_metric_losses_are_lower_where_one_persons_photos_are_alike(
    loss: MetricLoss,
) -> None:
    identity = torch.tensor([0, 0, 1, 1, -1])
    apart = torch.eye(5)
    alike = apart[[0, 0, 2, 2, 4]]
    assert loss(alike, identity) < loss(apart, identity)


def test_photos_of_unknown_people_teach_nobody_apart() -> None:
    features = torch.randn(4, 5, requires_grad=True)
    for loss in (TripletLoss(hard=True), ContrastLoss(), ContrastLoss(5)):
        assert loss(features, torch.full((4,), -1)) == 0


def test_people_come_with_company() -> None:
    identity = np.array([7] * 6 + [8, 9, 9, -1])
    kept = with_company(np.arange(10), identity, np.random.default_rng(2))
    assert np.bincount(identity[kept] + 1, minlength=11).tolist() == [
        1, 0, 0, 0, 0, 0, 0, 0, PHOTOS_PER_PERSON, 0, 2,
    ]  # fmt: skip


def test_sources_are_sampled_in_their_shares_and_evenly() -> None:
    views = blocks(40).where(np.arange(40))
    mixed = Views(**{**views.__dict__, "source": np.repeat([0, 1], [32, 8])})
    drawn = balanced(mixed, {0: 0.5, 1: 0.5}, 40, np.random.default_rng(0))
    assert (mixed.source[drawn] == 0).sum() == 20
    counts = np.bincount(drawn, minlength=40)[32:]
    assert set(counts) <= {2, 3}


def test_a_part_of_a_view_may_be_hidden_and_is_not_otherwise() -> None:
    grey = np.full((64, 48, 3), 120, np.uint8)

    def colours(hidden: float) -> int:
        rng = np.random.default_rng(2)
        changed = augment(grey, (64, 48), Changes(0.1, hidden), rng).image
        return len(np.unique(changed.reshape(-1, 3), axis=0))

    assert colours(0.0) == 1
    assert colours(1.0) > 1


def test_photos_of_one_person_share_a_batch() -> None:
    identity = np.array([4, 2, 4, -1, 2, 4])
    order = people_together(np.arange(6), identity, np.random.default_rng(1))
    assert sorted(order) == list(range(6))
    places = np.flatnonzero(identity[order] == 4)
    assert places.max() - places.min() == 2


def test_every_batch_has_its_share_of_each_source() -> None:
    views = blocks(60)
    mixed = Views(**{**views.__dict__, "source": np.repeat([0, 1], [48, 12])})
    rng = np.random.default_rng(4)
    order = interleaved(mixed.source, np.arange(60), rng, together=None)
    assert sorted(order) == list(range(60))
    per_batch = [(mixed.source[order[i : i + 10]] == 1).sum() for i in range(0, 60, 10)]
    assert set(per_batch) <= {1, 2, 3}
