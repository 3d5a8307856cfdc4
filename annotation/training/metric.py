"""Metric learning: photos of one person together, other people apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

import torch
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import (
    CrossBatchMemory,
    SupConLoss,
    TripletMarginLoss,
)
from pytorch_metric_learning.miners import TripletMarginMiner
from torch import Tensor
from torch.nn import functional

MARGIN: Final = 0.5  # on squared distances of unit vectors, which are at most 4
TEMPERATURE: Final = 0.1
MEMORY: Final = 2_048


class MetricLoss(Protocol):
    """Features (n, width) and who they are of (n,), -1 unknown -> a scalar."""

    def __call__(self, features: Tensor, identity: Tensor) -> Tensor: ...


class TripletLoss:
    """Triplet loss over the semi-hard ones of a batch (Schroff et al. 2015, 3.2).

    `hard`: over those, too, whose negative is nearer than the positive.
    """

    def __init__(self, *, hard: bool) -> None:
        squared = LpDistance(power=2)
        kind = "all" if hard else "semihard"
        self._miner = TripletMarginMiner(MARGIN, kind, distance=squared)
        self._loss = TripletMarginLoss(MARGIN, distance=squared)

    def __call__(self, features: Tensor, identity: Tensor) -> Tensor:
        embeddings, people = _known(features, identity)
        if not _two_of_a_person(people):
            return features.sum() * 0
        mined = self._miner(embeddings, people)
        loss: Tensor = self._loss(embeddings, people, mined)
        return loss


class ContrastLoss:
    """SupCon (Khosla et al. 2020), with `width` against earlier batches too.

    The memory, in photos, is Wang et al.'s (2020): what small batches lack in others.
    """

    def __init__(self, width: int | None = None, memory: int = MEMORY) -> None:
        loss = SupConLoss(TEMPERATURE)
        self._loss = CrossBatchMemory(loss, width, memory) if width else loss

    def __call__(self, features: Tensor, identity: Tensor) -> Tensor:
        embeddings, people = _known(features, identity)
        if not _two_of_a_person(people):
            return features.sum() * 0
        loss: Tensor = self._loss(embeddings, people)
        return loss


def refining_losses(width: int) -> dict[str, Callable[[], MetricLoss]]:
    """Those that refinement tries, of features this wide; the better one is kept."""
    return {
        "triplet": lambda: TripletLoss(hard=True),
        "supcon": lambda: ContrastLoss(width),
    }


def _known(features: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    kept = identity >= 0
    return functional.normalize(features[kept]), identity[kept]


def _two_of_a_person(people: Tensor) -> bool:
    return bool(len(torch.unique(people)) < len(people))
