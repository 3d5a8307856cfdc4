"""Losses that know what a label leaves open."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import Head, slices


def heads_loss(logits: Tensor, targets: Tensor, heads: tuple[Head, ...]) -> Tensor:
    """Sum over heads of the mean loss of the photos whose label is known; a scalar.

    `targets` as in `annotation.training.labels`, (n, width of the heads).
    """
    total = logits.new_zeros(())
    for head in heads:
        part = slices(heads)[head.name]
        loss = partial_label_loss if head.exclusive else known_binary_loss
        total = total + loss(logits[:, part], targets[:, part])
    return total


def partial_label_loss(logits: Tensor, allowed: Tensor) -> Tensor:
    """Mean of -log sum of p over the allowed classes (Jin & Ghahramani, 2002)."""
    known = (allowed > 0).any(1)
    if not known.any():
        return logits.sum() * 0
    log_p = functional.log_softmax(logits[known], 1)
    masked = log_p.masked_fill(allowed[known] <= 0, -torch.inf)
    return -torch.logsumexp(masked, 1).mean()


def known_binary_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy over the labels that are known."""
    known = targets != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    return functional.binary_cross_entropy_with_logits(
        logits[known], targets[known].float()
    )
