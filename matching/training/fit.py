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
Moments = npt.NDArray[np.float64]
# How good embeddings made by these weights are, on people kept back; more is better.
Judge = Callable[[HeadWeights], float]

# Of a feature's mean: single precision cannot tell less from a feature that is always
# the same (its step is 1e-7).
LEAST_SPREAD = 1e-6
# So many are made double at a time, 16 MB of 2,048 features each.
PHOTOS_AT_A_TIME = 1_024


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
    mean, spread = _mean_and_spread(features)
    # A feature that is always the same tells nothing, whatever its unit.
    scale = np.where(spread > LEAST_SPREAD * np.abs(mean), spread, 1)
    standard = mean.astype(np.float32), scale.astype(np.float32)
    as_they_are = np.zeros_like(standard[0]), np.ones_like(standard[1])
    return [HeadNetwork(*frame) for frame in (as_they_are, standard)]


def _mean_and_spread(features: Features) -> tuple[Moments, Moments]:
    """Of each feature, (width,), in double precision: in single, long sums stray.

    A part of the photos at a time, as numpy's own deviation would copy them all.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for start in range(0, len(features), PHOTOS_AT_A_TIME):
        some = features[start : start + PHOTOS_AT_A_TIME] - mean
        squares += (some**2).sum(axis=0)
    return mean, np.sqrt(squares / len(features))


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
