"""Batches of augmented views in an order that depends on nothing but the seed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotation.evaluation.labels import detail_target
from annotation.small.heads import Head, slices
from annotation.training.augment import Augmented, Changes, augment, plain
from annotation.training.views import Views

CELEBA_FACE_PIXELS = 0.565 * 112  # the cascade's box on a CelebA frame
PHOTOS_PER_PERSON = 4  # K of P x K

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Views uint8 (n, h, w, 3) with their targets, as tensors.

    `positions`: where they stand among all views, on the CPU.
    """

    positions: Tensor
    images: Tensor
    targets: Tensor
    auxiliary: Tensor
    identity: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        columns = (self.images, self.targets, self.auxiliary, self.identity)
        moved = (column.to(device, non_blocking=True) for column in columns)
        return Batch(self.positions, *moved)


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


def with_company(
    positions: Positions, identity: npt.NDArray[np.int64], rng: np.random.Generator
) -> Positions:
    """Of people with two photos at least, up to K each: what P x K batches are made of.

    Positions whose person is unknown stay as they are.
    """
    shuffled = rng.permutation(positions)
    who = identity[shuffled]
    _, code, count = np.unique(who, return_inverse=True, return_counts=True)
    order = np.argsort(code, kind="stable")
    nth = np.empty(len(who), np.int64)
    nth[order] = np.arange(len(who)) - np.repeat(count.cumsum() - count, count)
    kept = (who < 0) | ((count[code] > 1) & (nth < PHOTOS_PER_PERSON))
    return np.asarray(shuffled[kept], np.int64)


def interleaved(
    source: Positions,
    positions: Positions,
    rng: np.random.Generator,
    *,
    together: Positions | None,
) -> Positions:
    """A random order in which every batch has about the same share of each source.

    Batch normalisation needs that: among faces only, its statistics are others than
    among faces and street corners, and what was learned on the one fails on the other.
    `together`: identities whose photos are to be neighbours.
    """
    parts, keys = [], []
    for one in np.unique(source[positions]):
        own = rng.permutation(positions[source[positions] == one])
        parts.append(own if together is None else people_together(own, together, rng))
        keys.append((np.arange(len(own)) + rng.random()) / len(own))
    order = np.argsort(np.concatenate(keys), kind="stable")
    return np.asarray(np.concatenate(parts)[order], np.int64)


@dataclass(frozen=True)
class Maker:
    """Makes augmented batches of `size` (height, width), for these heads."""

    views: Views
    size: tuple[int, int]
    heads: tuple[Head, ...]
    changes: Changes
    batch: int

    def batches(self, order: Positions, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch; the next batch is made while the last is learned from.

        Every view is changed by its own stream of `rng`, whichever thread does it.
        """
        # A batch of one has no variance to normalise by.
        starts = range(0, len(order) - 1, self.batch)
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(_threads()) as pool:
            waiting: Future[Batch] | None = None
            for start in starts:
                positions = order[start : start + self.batch]
                following = ahead.submit(self._make, positions, rng, pool)
                if waiting is not None:
                    yield waiting.result()
                waiting = following
            if waiting is not None:
                yield waiting.result()

    def _make(
        self, positions: Positions, rng: np.random.Generator, pool: ThreadPoolExecutor
    ) -> Batch:
        views = self.views.where(positions)
        change = partial(augment, size=self.size, changes=self.changes)
        changed = list(
            pool.map(
                lambda image, own: change(image, rng=own),
                views.images,
                rng.spawn(len(positions)),
            )
        )
        targets = views.targets.copy()
        if "presence" in slices(self.heads):
            _lose_details(targets, changed, self.heads)
        return Batch(
            torch.from_numpy(positions),
            torch.from_numpy(np.stack([view.image for view in changed])),
            torch.from_numpy(targets),
            torch.from_numpy(views.auxiliary),
            torch.from_numpy(views.identity),
        )


def _threads() -> int:
    """Beside two cores of learning one thread keeps up; beside a GPU all are needed."""
    return (os.cpu_count() or 2) if torch.cuda.is_available() else 1


def _lose_details(
    targets: npt.NDArray[np.int8], changed: list[Augmented], heads: tuple[Head, ...]
) -> None:
    """A face shrunk to a few pixels no longer shows its details."""
    detail = slices(heads)["presence"].start + 1
    for row, view in zip(targets, changed, strict=True):
        if row[detail] == 1:
            row[detail] = detail_target(view.resolution * CELEBA_FACE_PIXELS)


def plain_batches(views: Views, size: tuple[int, int], batch: int) -> Iterator[Tensor]:
    """The views in order, resized and otherwise as they are."""
    for start in range(0, len(views.images), batch):
        images = views.images[start : start + batch]
        yield torch.from_numpy(np.stack([plain(image, size) for image in images]))
