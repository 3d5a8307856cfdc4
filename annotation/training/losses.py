"""Losses that know what a label leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import Head, slices

EQUAL: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True)
class Recalled:
    """What a branch answered before, (n, width), and how far each is believed, (n,)."""

    answers: Tensor
    belief: Tensor

    def to(self, device: torch.device) -> Recalled:
        """The same on another device."""
        return Recalled(self.answers.to(device), self.belief.to(device))

    def of(self, part: slice) -> Recalled:
        """One head's columns."""
        return Recalled(self.answers[:, part], self.belief)

    def where(self, rows: Tensor) -> Recalled:
        """The photos that a mask names."""
        return Recalled(self.answers[rows], self.belief[rows])


def heads_loss(
    logits: Tensor,
    targets: Tensor,
    heads: tuple[Head, ...],
    recalled: Recalled | None = None,
    weights: Mapping[str, float] = EQUAL,
) -> Tensor:
    """Sum over heads of the mean loss of the photos whose label is known; a scalar.

    `targets` as in `annotation.evaluation.labels`, (n, width of the heads). Of what is
    `recalled`, the part that is believed takes the place of the label's. `weights`: of
    heads that count for more, or less, than 1.
    """
    total = logits.new_zeros(())
    for head in heads:
        part = slices(heads)[head.name]
        loss = partial_label_loss if head.exclusive else known_binary_loss
        own = recalled.of(part) if recalled else None
        weight = weights.get(head.name, 1.0)
        total = total + weight * loss(logits[:, part], targets[:, part], own)
    return total


def partial_label_loss(
    logits: Tensor, allowed: Tensor, recalled: Recalled | None = None
) -> Tensor:
    """Mean of -log sum of p over the allowed classes (Jin & Ghahramani, 2002)."""
    known = (allowed > 0).any(1)
    if not known.any():
        return logits.sum() * 0
    log_p = functional.log_softmax(logits[known], 1)
    masked = log_p.masked_fill(allowed[known] <= 0, -torch.inf)
    loss = -torch.logsumexp(masked, 1)
    if recalled:
        own = recalled.where(known)
        loss = torch.lerp(loss, -(own.answers * log_p).sum(1), own.belief)
    return loss.mean()


def known_binary_loss(
    logits: Tensor, targets: Tensor, recalled: Recalled | None = None
) -> Tensor:
    """Mean binary cross-entropy over the labels that are known."""
    known = targets != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    wanted = targets.float()
    if recalled:
        wanted = torch.lerp(wanted, recalled.answers, recalled.belief[:, None])
    return functional.binary_cross_entropy_with_logits(logits[known], wanted[known])
