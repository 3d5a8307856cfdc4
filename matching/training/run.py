"""One run of training: its features, its head, and a folder that says how it went."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.utils import timezone

from annotation import services as annotation
from annotation.training.curves import draw
from matching import heads
from matching.models import Head
from matching.training.cached import (
    CachedFeatures,
    FeaturesError,
    from_database,
    from_file,
)
from matching.training.feedback import read_triplets
from matching.training.fit import Epoch, Recipe
from matching.training.pipeline import (
    Lesson,
    Trained,
    feedback_lesson,
    identity_lesson,
    train_head,
)


@dataclass(frozen=True)
class Plan:
    """What to learn, from which features, and where to write how it went.

    Without `features`, from what `encoder` has read of the people who may be found.
    """

    encoder: str | None
    triplets: str
    features: Path | None
    feedback: Path | None
    held_out: Path | None
    seed: int
    epochs: int
    run: Path


def run(plan: Plan) -> dict[str, Any]:
    """Train a head and keep it; its figures, which the run's folder holds as well.

    Raises FeaturesError where there is too little to learn from, NotFoundError.
    """
    encoder = annotation.encoder_name(plan.encoder)
    lesson = _lesson(plan, encoder)
    rival = heads.current(encoder, width=lesson.photos.width)
    recipe = Recipe(seed=plan.seed, epochs=plan.epochs)
    trained = train_head(lesson, heads.projection(rival), recipe, tell=_tell)
    head = heads.keep(
        trained.weights,
        annotator=encoder,
        triplets=plan.triplets,
        metrics=trained.metrics,
    )
    told = {
        "head": head.version,
        "annotator": head.annotator,
        "width": head.width,
        "triplets": head.triplets,
        "rival": rival,
        **trained.metrics,
    }
    folder = plan.run / f"{timezone.now():%Y%m%d-%H%M%S}-{head.version}"
    _write(folder, told, trained)
    return {**told, "run": str(folder)}


def _lesson(plan: Plan, encoder: str) -> Lesson:
    if (plan.triplets == Head.Triplets.FEEDBACK) != (plan.feedback is not None):
        raise FeaturesError("--triplets feedback and --feedback FILE go together.")
    cached = _read(plan.features, encoder)
    if plan.feedback is None:
        held_out = _read(plan.held_out, encoder) if plan.held_out else None
        return identity_lesson(cached, held_out)
    if plan.held_out:
        raise FeaturesError("--held-out is for --triplets identity.")
    triplets, unknown = read_triplets(plan.feedback, cached)
    if unknown:
        _say(f"{unknown} triplets left out: somebody in them has not been read")
    return feedback_lesson(cached, triplets)


def _read(file: Path | None, encoder: str) -> CachedFeatures:
    if file is None:
        return from_database(encoder)
    cached = from_file(file)
    if cached.annotator != encoder:
        raise FeaturesError(
            f"{file} was read by {cached.annotator}, not by {encoder}: give its "
            "--encoder, or read the photos anew."
        )
    return cached


def _tell(loss: str, epoch: Epoch) -> None:
    _say(
        f"{loss} epoch {epoch.number}: loss {epoch.loss:.4f}, "
        f"validation {epoch.validation:.4f}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - narration, never a result


def _write(folder: Path, told: dict[str, Any], trained: Trained) -> None:
    """No photo, no name: what was asked for, what came of it, and every epoch."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # twice within a second
    (folder / "metrics.json").write_text(json.dumps(told, indent=1) + "\n")
    (folder / "head.npz").write_bytes(trained.weights.to_npz())
    epochs = (
        {"objective": loss, **asdict(epoch)}
        for loss, history in trained.history.items()
        for epoch in history
    )
    (folder / "epochs.jsonl").write_text("".join(json.dumps(e) + "\n" for e in epochs))
    draw(_panels(trained), folder / "curves.png")


def _panels(trained: Trained) -> dict[str, dict[str, list[float]]]:
    """Each objective's loss and validation, epoch by epoch."""
    return {
        part: {
            loss: [getattr(epoch, part) for epoch in history]
            for loss, history in trained.history.items()
        }
        for part in ("loss", "validation")
    }
