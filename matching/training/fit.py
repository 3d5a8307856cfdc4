"""One head: trained until the people kept back for validation see no gain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from matching.projection import HeadWeights
from matching.training.network import HeadNetwork
from matching.training.objectives import Objective

Features = npt.NDArray[np.float32]
# How good embeddings made by these weights are, on people kept back; more is better.
Judge = Callable[[HeadWeights], float]


@dataclass(frozen=True)
class Recipe:
    """How a head is trained; the seed decides every draw."""

    seed: int = 1
    epochs: int = 40
    patience: int = 6
    weight_decay: float = 0.05
    warm_up_epochs: float = 2.0


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    number: int
    loss: float
    validation: float


@dataclass(frozen=True)
class Fitted:
    """The weights of the best epoch, which one that was, and the way there."""

    weights: HeadWeights
    best: Epoch
    history: list[Epoch]


def fit(
    objective: Objective,
    features: Features,
    judge: Judge,
    recipe: Recipe,
    *,
    step: Callable[[Epoch], None],
) -> Fitted:
    """A trained head; the same recipe and data give the same one on one machine.

    Epoch 0 is the start, which is kept where nothing that was learned is better.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    network = max(_starts(features), key=lambda start: judge(start.weights()))
    optimizer = _optimizer(network, objective, recipe)
    photos = torch.from_numpy(features)
    history: list[Epoch] = []
    best = network.weights()
    best_epoch = Epoch(0, math.nan, judge(best))
    for number in range(1, recipe.epochs + 1):
        loss = _train_epoch(network, optimizer, objective, photos, rng, recipe, number)
        weights = network.weights()
        epoch = Epoch(number, loss, judge(weights))
        history.append(epoch)
        step(epoch)
        if epoch.validation > best_epoch.validation:
            best, best_epoch = weights, epoch
        elif number - best_epoch.number >= recipe.patience:
            break
    return Fitted(best, best_epoch, history)


def _optimizer(
    network: HeadNetwork, objective: Objective, recipe: Recipe
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(), lr=objective.rate, weight_decay=recipe.weight_decay
    )


def _starts(features: Features) -> list[HeadNetwork]:
    """The features as they are, and each of them standardised."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    # A feature that is always the same tells nothing, whatever its unit.
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    as_they_are = np.zeros_like(mean), np.ones_like(scale)
    return [HeadNetwork(*frame) for frame in (as_they_are, (mean, scale))]


def _train_epoch(
    network: HeadNetwork,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    photos: torch.Tensor,
    rng: np.random.Generator,
    recipe: Recipe,
    number: int,
) -> float:
    """The mean loss of one epoch."""
    network.train()
    batches = list(objective.batches(rng))
    losses = []
    for done, rows in enumerate(batches):
        for group in optimizer.param_groups:
            share = _share_of_rate(recipe, number - 1 + done / len(batches))
            group["lr"] = objective.rate * share
        loss = objective.loss(network(photos[rows]), rows)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def _share_of_rate(recipe: Recipe, epochs_done: float) -> float:
    """Linear warm-up, then a cosine to nothing."""
    warm = min(1.0, (epochs_done + 0.1) / recipe.warm_up_epochs)
    return warm * (1 + math.cos(math.pi * epochs_done / recipe.epochs)) / 2
