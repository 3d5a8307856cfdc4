"""Questions share what they begin with, and see nothing of each other."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch

from annotation.backends.local.packing import additive, block_mask, pack

pytestmark = pytest.mark.torch


def test_questions_share_the_tokens_they_begin_with() -> None:
    packed = pack([(1, 2, 3), (1, 2, 4, 5), (6,)])
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert packed.depths.tolist() == [0, 1, 2, 2, 3, 0]
    assert packed.ends.tolist() == [2, 4, 5]


def test_a_token_sees_its_own_beginnings_and_nothing_else() -> None:
    packed = pack([(1, 2, 3), (1, 2, 4, 5), (6,)])
    sees = [np.flatnonzero(row).tolist() for row in packed.sees]
    assert sees == [[0], [0, 1], [0, 1, 2], [0, 1, 3], [0, 1, 3, 4], [5]]


def test_the_same_token_in_another_place_is_another_token() -> None:
    packed = pack([(1, 1), (2, 1)])
    assert packed.tokens.tolist() == [1, 1, 2, 1]
    assert packed.ends.tolist() == [1, 3]


def test_a_question_may_be_the_beginning_of_another() -> None:
    packed = pack([(1, 2), (1,)])
    assert packed.tokens.tolist() == [1, 2]
    assert packed.ends.tolist() == [1, 0]


def test_all_see_the_text_and_questions_see_the_photo() -> None:
    mask = block_mask(2, 3, pack([(1, 2), (1, 3)]).sees)[0, 0].int()
    assert mask.tolist() == [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 0, 1],
    ]


def test_what_is_not_seen_adds_minus_infinity() -> None:
    sees = torch.tensor([[True, False]])
    assert additive(sees).tolist() == [[0.0, -torch.inf]]
