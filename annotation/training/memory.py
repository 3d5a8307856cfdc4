"""What a branch answered of each view before: the soft targets it is taught with.

Progressive self-distillation (Kim et al., ICCV 2021): as training goes on, a label is
believed less, and the branch's own answers of earlier epochs more. They are kept as a
running mean, which is steadier than the last epoch's (Laine & Aila, ICLR 2017).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from annotation.small.heads import Head, slices, width
from annotation.training.losses import Recalled

KEPT: Final = 0.5  # of what was remembered, when the same view is answered again


class Memory:
    """Probabilities of every view's classes, (views, width); NaN where none are yet."""

    def __init__(self, views: int, heads: tuple[Head, ...]) -> None:
        self._heads = heads
        self._answers = torch.full((views, width(heads)), torch.nan)

    def recall(self, positions: Tensor, *, belief: float) -> Recalled:
        """What was answered of these views; nothing is believed where none was."""
        answers, known = self._of(positions)
        return Recalled(answers, belief * known)

    def keep(self, positions: Tensor, logits: Tensor) -> None:
        """Take in what is answered of these views now; `logits` (n, width)."""
        now = _probabilities(logits.detach().cpu(), self._heads)
        before, known = self._of(positions)
        self._answers[positions] = now.lerp(before, KEPT * known[:, None])

    def _of(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        answers = self._answers[positions]
        return answers.nan_to_num(), ~answers.isnan().any(1)

    def state_dict(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        return {"answers": self._answers}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a checkpoint's."""
        self._answers = state["answers"].clone()


def _probabilities(logits: Tensor, heads: tuple[Head, ...]) -> Tensor:
    parts = []
    for head in heads:
        part = logits[:, slices(heads)[head.name]]
        parts.append(functional.softmax(part, 1) if head.exclusive else part.sigmoid())
    return torch.cat(parts, 1)
