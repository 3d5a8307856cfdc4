"""Training: the face branch, then the photo branch starting from its filters."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from annotation.small.framing import FACE_SIDE, PHOTO_HEIGHT, PHOTO_WIDTH
from annotation.small.heads import FACE_HEADS, PHOTO_HEADS, Head
from annotation.training.augment import Changes
from annotation.training.batches import (
    Batch,
    balanced,
    epoch,
    interleaved,
    plain_batches,
)
from annotation.training.losses import (
    heads_loss,
    known_binary_loss,
    supervised_contrast,
)
from annotation.training.network import Branch, Encoder
from annotation.training.ranking import mean_auc
from annotation.training.views import CELEBA, CLOTHING, NEITHER, Views


@dataclass(frozen=True)
class Stage:
    """How one branch is trained, on views of `size` (height, width).

    `share` of each source in an epoch; `judged`: the source that epochs are judged by.

    One size throughout: small views first cost less than half, and changing the size
    then cost more epochs than it had saved.
    """

    name: str
    heads: tuple[Head, ...]
    size: tuple[int, int]
    epochs: int
    examples: int
    share: dict[int, float]
    judged: int
    changes: Changes
    peak_rate: float = 2e-3
    batch: int = 64  # many small steps: epochs are few


def face_stage(epochs: int, examples: int) -> Stage:
    """CelebA first of all, with street faces and what is not a face."""
    return Stage(
        name="face",
        heads=FACE_HEADS,
        size=(FACE_SIDE, FACE_SIDE),
        epochs=epochs,
        examples=examples,
        share={CELEBA: 0.88, CLOTHING: 0.06, NEITHER: 0.06},
        judged=CELEBA,
        changes=Changes(zoom=0.12),
    )


def photo_stage(epochs: int, examples: int) -> Stage:
    """Street photos, with close-ups that show no clothes."""
    return Stage(
        name="photo",
        heads=PHOTO_HEADS,
        size=(PHOTO_HEIGHT, PHOTO_WIDTH),
        epochs=epochs,
        examples=examples,
        share={CELEBA: 0.1, CLOTHING: 0.9},
        judged=CLOTHING,
        changes=Changes(zoom=0.25, hidden=0.4),
        peak_rate=1e-3,
        batch=32,
    )


@dataclass
class Progress:
    """Where training stands; saved after every epoch, enough to go on exactly."""

    stage: str
    done: int
    state: dict[str, Any]


def train(
    faces: Views,
    photos: Views,
    run: Path,
    *,
    epochs: int,
    seed: int,
    resume: bool = False,
) -> Encoder:
    """A trained encoder. The same seed and data give the same one on one machine."""
    torch.manual_seed(seed)
    run.mkdir(parents=True, exist_ok=True)
    encoder = Encoder()
    _train_branch(
        encoder.face,
        faces,
        face_stage(epochs, round(1.13 * _kept(faces, CELEBA))),
        run,
        seed=seed,
        resume=resume,
    )
    encoder.photo.trunk.load_state_dict(encoder.face.trunk.state_dict())
    _train_branch(
        encoder.photo,
        photos,
        photo_stage(2 * epochs, round(1.1 * _kept(photos, CLOTHING))),
        run,
        seed=seed,
        resume=resume,
    )
    return encoder.eval()


def _kept(views: Views, source: int) -> int:
    return int(((views.source == source) & ~views.validation).sum())


def _train_branch(
    branch: Branch, views: Views, stage: Stage, run: Path, *, seed: int, resume: bool
) -> None:
    optimizer = torch.optim.AdamW(branch.parameters(), weight_decay=0.05)
    checkpoint = run / f"{stage.name}.pt"
    first = _restore(branch, optimizer, checkpoint) if resume else 0
    learned = views.where(~views.validation)
    kept = views.where(views.validation & (views.source == stage.judged))
    for number in range(first, stage.epochs):
        # Each epoch draws from its own stream, so that a resumed run is the same run.
        stream = [seed, len(stage.name), number]
        torch.manual_seed(int(np.random.SeedSequence(stream).generate_state(1)[0]))
        started = time.monotonic()
        loss = _train_epoch(
            branch, optimizer, learned, stage, number, np.random.default_rng(stream)
        )
        _save(branch, optimizer, checkpoint, done=number + 1)
        seconds = time.monotonic() - started
        print(  # noqa: T201 - progress is narration, on stderr
            f"{stage.name} {number + 1}/{stage.epochs}: "
            f"loss {loss:.4f}, ranking {ranking(branch, kept, stage):.4f}, "
            f"{seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )


def _train_epoch(
    branch: Branch,
    optimizer: torch.optim.Optimizer,
    views: Views,
    stage: Stage,
    number: int,
    rng: np.random.Generator,
) -> float:
    """Mean loss of one epoch."""
    branch.train()
    losses = []
    batches = _batches(views, stage, rng)
    steps = math.ceil(stage.examples / stage.batch)
    for step, batch in enumerate(batches):
        rate = _rate(stage, number + min(step / steps, 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = _loss(branch, batch, stage)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 5.0)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses) / len(losses)


def _batches(views: Views, stage: Stage, rng: np.random.Generator) -> Iterator[Batch]:
    positions = balanced(views, stage.share, stage.examples, rng)
    return epoch(
        views,
        interleaved(views, positions, rng),
        size=stage.size,
        heads=stage.heads,
        changes=stage.changes,
        batch=stage.batch,
        rng=rng,
    )


def _loss(branch: Branch, batch: Batch, stage: Stage) -> Tensor:
    features, logits, further = branch(batch.images)
    return (
        heads_loss(logits, batch.targets, stage.heads)
        + 2.0 * known_binary_loss(further, batch.auxiliary)
        + 0.1 * supervised_contrast(features, batch.identity)
    )


def _rate(stage: Stage, epochs_done: float) -> float:
    """Linear warm-up over half an epoch, then a cosine to nothing."""
    warm = min(1.0, (epochs_done + 0.01) / 0.5)
    return (
        stage.peak_rate
        * warm
        * (1 + math.cos(math.pi * epochs_done / stage.epochs))
        / 2
    )


def _save(
    branch: Branch, optimizer: torch.optim.Optimizer, path: Path, *, done: int
) -> None:
    state = {"branch": branch.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(asdict(Progress(path.stem, done, state)), path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)  # never half a checkpoint


def _restore(branch: Branch, optimizer: torch.optim.Optimizer, path: Path) -> int:
    """Epochs already done; 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    progress = torch.load(path, weights_only=True)
    branch.load_state_dict(progress["state"]["branch"])
    optimizer.load_state_dict(progress["state"]["optimizer"])
    return int(progress["done"])


def ranking(branch: Branch, views: Views, stage: Stage) -> float:
    """Mean AUC of the heads' classes on plain views; nan if none has positives."""
    if not len(views.images):
        return math.nan
    logits = logits_of(branch, views, stage.size).numpy()
    return mean_auc(logits, views.targets, stage.heads)


@torch.no_grad()
def logits_of(branch: Branch, views: Views, size: tuple[int, int]) -> Tensor:
    """The branch's logits on plain views, (n, width)."""
    branch.eval()
    return torch.cat([branch(images)[1] for images in plain_batches(views, size, 256)])
