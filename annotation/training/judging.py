"""How good a branch is on the photos kept from training: what an epoch is judged by."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from annotation.calibration.scaling import Floats
from annotation.evaluation.identity import repeated, retrieved
from annotation.small.heads import Head
from annotation.training.batches import plain_batches
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
    logits, features = answers(branch, views)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    known = views.identity >= 0
    recall, people = math.nan, views.identity[known]
    if repeated(people).any():
        recall = float(retrieved(features[known], people=people)["recall_at_1"].mean())
    return Judgement(round(mean_auc(logits, views.targets, heads), 5), round(recall, 5))


@torch.no_grad()
def answers(branch: Branch, views: Views) -> tuple[Floats, Floats]:
    """The branch's logits and features on plain views."""
    branch.eval()
    device = next(branch.parameters()).device
    parts = [
        branch(images.to(device))[:2]
        for images in plain_batches(views, branch.size, BATCH)
    ]
    features, logits = (torch.cat(column).cpu() for column in zip(*parts, strict=True))
    return logits.numpy(), features.numpy()
