"""A branch is taught by what it answered before, as far as that is believed."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import Head
from annotation.training.losses import Recalled, heads_loss
from annotation.training.memory import KEPT, Memory

pytestmark = pytest.mark.torch
HEADS = (
    Head("hair", ("black", "brown", "blonde")),
    Head("worn", ("ring",), exclusive=False),
)
SURE_OF_BLONDE = torch.tensor([[-99.0, -99.0, 99.0, 99.0]])
SURE_OF_BLACK = torch.tensor([[99.0, -99.0, -99.0, -99.0]])


def test_nothing_is_believed_where_nothing_was_answered() -> None:
    memory = Memory(3, HEADS)
    memory.keep(torch.tensor([1]), SURE_OF_BLONDE)
    recalled = memory.recall(torch.tensor([0, 1]), belief=0.4)
    assert recalled.belief.tolist() == pytest.approx([0.0, 0.4])
    assert recalled.answers.tolist() == [[0, 0, 0, 0], [0, 0, 1, 1]]


def test_what_is_remembered_is_a_running_mean() -> None:
    memory, first = Memory(2, HEADS), torch.tensor([0])
    memory.keep(first, SURE_OF_BLONDE)
    memory.keep(first, SURE_OF_BLACK)
    mean = memory.recall(first, belief=1.0).answers[0].tolist()
    assert mean == pytest.approx([1 - KEPT, 0, KEPT, KEPT])


def test_a_belief_takes_the_labels_place() -> None:
    """Half believed, what is learned lies half way between label and memory."""
    black = torch.tensor([[1, 0, 0, 0]])
    before = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    for belief in (0.0, 0.5, 1.0):
        logits = torch.zeros(1, 4, requires_grad=True)
        recalled = Recalled(before, torch.tensor([belief]))
        torch.autograd.backward(heads_loss(logits, black, HEADS, recalled))
        assert logits.grad is not None
        assert logits.grad[0].tolist() == pytest.approx(
            [1 / 3 - (1 - belief), 1 / 3, 1 / 3 - belief, 1 / 2 - belief]
        )


def test_a_label_that_leaves_two_open_is_settled_by_what_is_remembered() -> None:
    black_or_brown = torch.tensor([[1, 1, 0, UNKNOWN]])
    before = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    logits = torch.zeros(1, 4, requires_grad=True)
    recalled = Recalled(before, torch.tensor([0.5]))
    torch.autograd.backward(heads_loss(logits, black_or_brown, HEADS, recalled))
    assert logits.grad is not None
    black, brown, blonde, ring = logits.grad[0].tolist()
    assert brown < black < blonde
    assert ring == 0  # no label, no lesson


def test_a_checkpoint_keeps_what_is_remembered() -> None:
    memory, again, first = Memory(2, HEADS), Memory(2, HEADS), torch.tensor([0])
    memory.keep(first, SURE_OF_BLONDE)
    again.load_state_dict(memory.state_dict())
    memory.keep(first, SURE_OF_BLACK)  # and has it for its own
    assert again.recall(first, belief=1.0).answers.tolist() == [[0, 0, 1, 1]]
