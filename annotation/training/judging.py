"""How good a branch is on the photos kept from training: what an epoch is judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from annotation.small.heads import Head
from annotation.training.batches import plain_batches
from annotation.training.metrics import recall_at_1
from annotation.training.network import Branch
from annotation.training.ranking import mean_auc
from annotation.training.views import Views

BATCH: Final = 256


@dataclass(frozen=True)
class Judgement:
    """Mean AUC of the heads' classes, and recall@1 by identity; nan where unknown."""

    ranking: float
    recall_at_1: float


def judge(branch: Branch, views: Views, heads: tuple[Head, ...]) -> Judgement:
    """Measured on plain views."""
    if not len(views.images):
        return Judgement(math.nan, math.nan)
    features, logits = answers(branch, views)
    known = views.identity >= 0
    recall = math.nan
    if len(np.unique(views.identity[known])) < known.sum():
        recall = recall_at_1(features[known], views.identity[known])
    return Judgement(round(mean_auc(logits, views.targets, heads), 5), round(recall, 5))


@torch.no_grad()
def answers(
    branch: Branch, views: Views
) -> tuple[np.ndarray[tuple[int, int]], np.ndarray[tuple[int, int]]]:
    """The branch's features, of length 1, and logits on plain views."""
    branch.eval()
    device = next(branch.parameters()).device
    parts = [
        branch(images.to(device))[:2]
        for images in plain_batches(views, branch.size, BATCH)
    ]
    features, logits = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return torch.nn.functional.normalize(features).numpy(), logits.numpy()
