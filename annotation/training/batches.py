"""Batches of augmented views in an order that depends on nothing but the seed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotation.evaluation.labels import detail_target
from annotation.small.heads import Head, slices
from annotation.training.augment import Changes, augment, plain
from annotation.training.views import Views

CELEBA_FACE_PIXELS = 0.565 * 112  # the cascade's box on a CelebA frame

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Views uint8 (n, h, w, 3) with their targets, as tensors."""

    images: Tensor
    targets: Tensor
    auxiliary: Tensor
    identity: Tensor


def balanced(
    views: Views, share: dict[int, float], size: int, rng: np.random.Generator
) -> Positions:
    """`size` positions, sources in the given shares; nobody twice before all once."""
    chosen = []
    for source, part in share.items():
        positions = np.flatnonzero(views.source == source)
        wanted = round(size * part)
        rounds = -(-wanted // max(1, len(positions)))
        drawn = [rng.permutation(positions) for _ in range(rounds)]
        chosen.append(np.concatenate([*drawn, positions[:0]])[:wanted])
    return np.asarray(np.concatenate(chosen), np.int64)


def people_together(
    positions: Positions, identity: npt.NDArray[np.int64], rng: np.random.Generator
) -> Positions:
    """A random order in which one person's photos are neighbours, for contrast."""
    shuffled = rng.permutation(positions)
    who = identity[shuffled]
    rank = rng.random(max(1, int(identity.max(initial=-1)) + 1))
    key = np.where(who >= 0, rank[np.maximum(who, 0)], rng.random(len(who)))
    return np.asarray(shuffled[np.argsort(key, kind="stable")], np.int64)


def interleaved(
    views: Views, positions: Positions, rng: np.random.Generator
) -> Positions:
    """A random order in which every batch has about the same share of each source.

    Batch normalisation needs that: among faces only, its statistics are others than
    among faces and street corners, and what was learned on the one fails on the other.
    """
    parts, keys = [], []
    for source in np.unique(views.source[positions]):
        own = positions[views.source[positions] == source]
        parts.append(people_together(own, views.identity, rng))
        keys.append((np.arange(len(own)) + rng.random()) / len(own))
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.asarray(np.concatenate(parts)[order], np.int64)


def epoch(
    views: Views,
    order: Positions,
    *,
    size: tuple[int, int],
    heads: tuple[Head, ...],
    changes: Changes,
    batch: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """Augmented batches; the next is made while the last is learned from."""
    with ThreadPoolExecutor(1) as pool:

        def make(positions: Positions) -> Batch:
            return _augmented(views.where(positions), size, heads, changes, rng)

        waiting: Future[Batch] | None = None
        # A batch of one has no variance to normalise by.
        for start in range(0, len(order) - 1, batch):
            following = pool.submit(make, order[start : start + batch])
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()


def _augmented(
    views: Views,
    size: tuple[int, int],
    heads: tuple[Head, ...],
    changes: Changes,
    rng: np.random.Generator,
) -> Batch:
    changed = [augment(image, size, changes, rng) for image in views.images]
    targets = views.targets.copy()
    if "presence" in slices(heads):
        _lose_details(targets, [view.resolution for view in changed], heads)
    return Batch(
        torch.from_numpy(np.stack([view.image for view in changed])),
        torch.from_numpy(targets),
        torch.from_numpy(views.auxiliary),
        torch.from_numpy(views.identity),
    )


def _lose_details(
    targets: npt.NDArray[np.int8], resolutions: list[float], heads: tuple[Head, ...]
) -> None:
    """A face shrunk to a few pixels no longer shows its details."""
    detail = slices(heads)["presence"].start + 1
    for row, resolution in zip(targets, resolutions, strict=True):
        if row[detail] == 1:
            row[detail] = detail_target(resolution * CELEBA_FACE_PIXELS)


def plain_batches(views: Views, size: tuple[int, int], batch: int) -> Iterator[Tensor]:
    """The views in order, resized and otherwise as they are."""
    for start in range(0, len(views.images), batch):
        images = views.images[start : start + batch]
        yield torch.from_numpy(np.stack([plain(image, size) for image in images]))
