"""One epoch of one branch: its batches, its losses, its steps downhill."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from annotation.small.heads import Head
from annotation.training.batches import (
    Batch,
    Maker,
    Positions,
    balanced,
    interleaved,
    with_company,
)
from annotation.training.judging import judge
from annotation.training.losses import Recalled, heads_loss, known_binary_loss
from annotation.training.memory import Memory
from annotation.training.metric import ContrastLoss, MetricLoss, refining_losses
from annotation.training.network import BRANCH_WIDTH, Branch
from annotation.training.recipe import BranchRecipe, Stage
from annotation.training.run import Epoch
from annotation.training.views import Views
from twinby.progress import Progress

WEIGHT_DECAY: Final = 0.05
FURTHER_WEIGHT: Final = 2.0
LARGEST_GRADIENT: Final = 5.0
WARM_EPOCHS: Final = 0.5  # of linear rise, before the cosine falls
NONE, IN_BATCH = "", "supcon in batch"


@dataclass(frozen=True)
class Course:
    """One branch and everything that it is taught with, on views of one size."""

    name: str
    branch: Branch
    heads: tuple[Head, ...]
    learned: Views
    kept: Views
    recipe: BranchRecipe
    seed: int
    examples: int  # views of an epoch

    @property
    def device(self) -> torch.device:
        return next(self.branch.parameters()).device

    def stream(self, *words: object) -> list[int]:
        """Seeds for one purpose: a resumed run draws what a whole one would."""
        text = " ".join(map(str, (self.name, *words)))
        return [self.seed, *text.encode()]


@dataclass(frozen=True)
class Learner:
    """What changes beside the branch while a stage is learned, and is checkpointed."""

    optimizer: torch.optim.Optimizer
    memory: Memory

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {name: part.state_dict() for name, part in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's."""
        for name, part in vars(self).items():
            part.load_state_dict(state[name])


def learner_of(course: Course, stage: Stage) -> Learner:
    """As a stage begins: no step made, nothing remembered."""
    memory = Memory(len(course.learned.images), course.heads)
    return Learner(optimizer_of(course, stage), memory)


def metric_losses(stage: Stage) -> list[str]:
    """Those that a stage is gone through with, each from the same start."""
    if not stage.metric:
        return [NONE]
    return list(refining_losses(BRANCH_WIDTH)) if stage.people else [IN_BATCH]


def optimizer_of(course: Course, stage: Stage) -> torch.optim.Optimizer:
    """AdamW over what the stage changes; everything else is held still."""
    trunk = list(_trunk(course.branch).parameters())
    held = list(_held(course, stage).parameters())
    for parameter in trunk:
        parameter.requires_grad = not any(parameter is one for one in held)
    own = {id(parameter) for parameter in trunk}
    added = [p for p in course.branch.parameters() if id(p) not in own]
    groups = [{"params": added, "peak": stage.rate, "lr": 0.0}]
    if learning := [p for p in trunk if p.requires_grad]:
        groups.append({"params": learning, "peak": stage.trunk_rate, "lr": 0.0})
    return torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)


def _trunk(branch: Branch) -> nn.Sequential:
    return nn.Sequential(*branch.middle, *branch.top)


def _held(course: Course, stage: Stage) -> nn.Sequential:
    """The blocks that this stage does not change, the first of all."""
    blocks = list(_trunk(course.branch))
    frozen = len(blocks) if stage.trunk_rate == 0 else course.recipe.frozen_blocks
    return nn.Sequential(*blocks[:frozen])


def one_epoch(
    course: Course,
    stage: Stage,
    metric_loss: str,
    number: int,
    learner: Learner,
) -> Epoch:
    """One epoch of learning, and what it came to on the photos kept back."""
    started = time.monotonic()
    stream = course.stream(stage.name, metric_loss, number)
    torch.manual_seed(int(np.random.SeedSequence(stream).generate_state(1)[0]))
    course.branch.train()
    _held(course, stage).eval()
    losses = _learn(course, stage, _metric_loss(metric_loss), number, learner, stream)
    found = judge(course.branch, course.kept, course.heads)
    return Epoch(
        branch=course.name,
        stage=stage.name,
        metric_loss=metric_loss,
        number=number,
        losses={name: round(value, 5) for name, value in losses.items()},
        ranking=found.ranking,
        recall_at_1=found.recall_at_1,
        seconds=round(time.monotonic() - started, 1),
    )


def _metric_loss(name: str) -> MetricLoss | None:
    """Made anew for every epoch: a resumed run remembers no more and no less."""
    if name == NONE:
        return None
    refining = refining_losses(BRANCH_WIDTH)
    return refining[name]() if name in refining else ContrastLoss()


def _learn(
    course: Course,
    stage: Stage,
    metric_loss: MetricLoss | None,
    number: int,
    learner: Learner,
    stream: list[int],
) -> dict[str, float]:
    """Every batch of one epoch; the mean of each part of the loss."""
    rng = np.random.default_rng(stream)
    order = _order(course, stage, rng)
    steps = max(1, len(order) // course.recipe.batch)
    bar = Progress(f"{course.name} {stage.name} {number}/{stage.epochs}", len(order))
    told: list[dict[str, float]] = []
    optimizer, memory = learner.optimizer, learner.memory
    belief = stage.self_taught * number / stage.epochs
    for step, batch in enumerate(_maker(course).batches(order, rng)):
        share = _share_of_rate(stage, number - 1 + min(step / steps, 1))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * share
        recalled = memory.recall(batch.positions, belief=belief).to(course.device)
        batch = batch.to(course.device)
        parts, logits = _losses(course, stage, metric_loss, batch, recalled)
        memory.keep(batch.positions, logits)
        _descend(optimizer, torch.stack(list(parts.values())).sum())
        told.append({name: part.item() for name, part in parts.items()})
        bar.label = f"{course.name} {stage.name} {number}, loss {_mean_total(told):.3f}"
        bar.step(len(batch.images))
    bar.finish()
    return {name: float(np.mean([one[name] for one in told])) for name in told[0]}


def _mean_total(told: list[dict[str, float]]) -> float:
    """The whole loss, over the last batches."""
    last = told[-20:]
    return sum(chain.from_iterable(one.values() for one in last)) / len(last)


def _order(course: Course, stage: Stage, rng: np.random.Generator) -> Positions:
    views = course.learned
    positions = balanced(views, course.recipe.shares, course.examples, rng)
    if stage.people:
        positions = with_company(positions, views.identity, rng)
    together = views.identity if stage.metric else None
    return interleaved(views.source, positions, rng, together=together)


def _maker(course: Course) -> Maker:
    return Maker(
        views=course.learned,
        size=course.branch.size,
        heads=course.heads,
        changes=course.recipe.changes,
        batch=course.recipe.batch,
    )


def _losses(
    course: Course,
    stage: Stage,
    metric_loss: MetricLoss | None,
    batch: Batch,
    recalled: Recalled,
) -> tuple[dict[str, Tensor], Tensor]:
    """The weighted parts of the loss, each a scalar; and the logits."""
    features, logits, further = course.branch(batch.images)
    weights = course.recipe.weights
    parts = {
        "labels": heads_loss(logits, batch.targets, course.heads, recalled, weights),
        "further labels": FURTHER_WEIGHT * known_binary_loss(further, batch.auxiliary),
    }
    if metric_loss:
        parts["metric"] = stage.metric * metric_loss(features, batch.identity)
    return parts, logits


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step. Raises FloatingPointError before anything is spoiled by a lost loss."""
    if not torch.isfinite(loss):
        raise FloatingPointError("the loss is no number any more: try lower rates")
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(_parameters(optimizer), LARGEST_GRADIENT)
    optimizer.step()


def _parameters(optimizer: torch.optim.Optimizer) -> Iterator[nn.Parameter]:
    return chain.from_iterable(group["params"] for group in optimizer.param_groups)


def _share_of_rate(stage: Stage, epochs_done: float) -> float:
    """Linear warm-up, then a cosine to nothing."""
    warm = min(1.0, (epochs_done + 0.01) / WARM_EPOCHS)
    return warm * (1 + math.cos(math.pi * epochs_done / stage.epochs)) / 2
