"""From cached features to a head, and to figures that say whether to use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from matching.projection import HeadWeights, Projection
from matching.training import measuring
from matching.training.cached import CachedFeatures, FeaturesError
from matching.training.feedback import Triplets, divided
from matching.training.fit import Epoch, Fitted, Recipe, fit
from matching.training.measuring import Figures, Project
from matching.training.objectives import (
    IDENTITY_LOSSES,
    FeedbackTriplets,
    Objective,
)
from matching.training.splits import UNSEEN_SHARE, Part, parts

LEAST_PEOPLE = 2
LEAST_TRIPLETS = 4
FEEDBACK_LOSS = "triplet"

Tell = Callable[[str, Epoch], None]


@dataclass(frozen=True)
class Lesson:
    """What is learned, by which losses, what stops it, and what measures the result."""

    photos: CachedFeatures
    losses: dict[str, Callable[[], Objective]]
    validate: Callable[[Project], float]
    measure: Callable[[Project], Figures]
    about: dict[str, Any]


@dataclass(frozen=True)
class Trained:
    """The best head, its metrics as they are kept, and how each loss came along."""

    weights: HeadWeights
    metrics: dict[str, Any]
    history: dict[str, list[Epoch]]


def identity_lesson(
    cached: CachedFeatures, held_out: CachedFeatures | None = None
) -> Lesson:
    """Photos of one person belong together; measured on people who are kept back.

    `held_out` gives other photos to be measured on. Raises FeaturesError where too few
    people have two photos.
    """
    part = parts(cached.people, unseen_share=0.0 if held_out else UNSEEN_SHARE)
    if held_out:
        part[np.isin(cached.people, held_out.people)] = Part.UNSEEN
    training = cached.where(part == Part.TRAINING)
    validation = measuring.measurable(cached.where(part == Part.VALIDATION))
    unseen = measuring.measurable(held_out or cached.where(part == Part.UNSEEN))
    for photos in (training, validation, unseen):
        _check_enough(photos)
    return Lesson(
        photos=training,
        losses={
            name: lambda loss=loss: loss(training.people)  # type: ignore[misc]
            for name, loss in IDENTITY_LOSSES.items()
        },
        validate=lambda project: measuring.by_identity(project, validation)["map_at_r"],
        measure=lambda project: measuring.by_identity(project, unseen),
        about={"training": _counted(training), "unseen": _counted(unseen)},
    )


def feedback_lesson(cached: CachedFeatures, triplets: Triplets) -> Lesson:
    """Who was matched with is nearer than who was passed; measured on others' choices.

    The people kept back have chosen nothing that was learned from; they may have been
    chosen or passed, but by nobody with whom they did so themselves: a match is mutual,
    so such pairs are left out. Raises FeaturesError where too few triplets are left.
    """
    part = parts(np.unique(cached.people)[triplets[:, 0]])
    learned, validation, unseen = divided(triplets, part)
    if min(map(len, (learned, validation, unseen))) < LEAST_TRIPLETS:
        raise FeaturesError(
            f"{len(triplets)} triplets are too few: {len(learned)} to learn from, "
            f"{len(validation)} to stop by and {len(unseen)} to be measured on, where "
            f"each needs {LEAST_TRIPLETS} and no pair of people may be in two of them."
        )
    return Lesson(
        photos=cached,
        losses={FEEDBACK_LOSS: lambda: FeedbackTriplets(cached.people, learned)},
        validate=lambda project: measuring.by_feedback(project, cached, validation)[
            "triplet_accuracy"
        ],
        measure=lambda project: measuring.by_feedback(project, cached, unseen),
        about={
            "training": {"triplets": len(learned)},
            "unseen": {"triplets": len(unseen)},
        },
    )


def train_head(
    lesson: Lesson, rival: Projection, recipe: Recipe, *, tell: Tell
) -> Trained:
    """Train by every loss, keep what validates best, and measure all on the unseen.

    `rival` is what the head would replace; `tell` hears of every epoch of each loss.
    """
    started = time.monotonic()
    fitted = {name: _fitted(lesson, name, recipe, tell=tell) for name in lesson.losses}
    kept = max(fitted, key=lambda name: fitted[name].best.validation)
    projections = measuring.baselines(rival) | {
        name: measuring.projected(one.weights) for name, one in fitted.items()
    }
    figures = {name: lesson.measure(one) for name, one in projections.items()}
    metrics = lesson.about | {
        "loss": kept,
        "headlines": figures[kept],
        "beside": figures,
        "recipe": asdict(recipe),
        "best_epoch": {name: one.best.number for name, one in fitted.items()},
        "seconds": round(time.monotonic() - started, 1),
    }
    history = {name: one.history for name, one in fitted.items()}
    return Trained(fitted[kept].weights, metrics, history)


def _fitted(lesson: Lesson, loss: str, recipe: Recipe, *, tell: Tell) -> Fitted:
    return fit(
        lesson.losses[loss](),
        lesson.photos.features,
        lambda weights: lesson.validate(measuring.projected(weights)),
        recipe,
        step=lambda epoch: tell(loss, epoch),
    )


def _check_enough(photos: CachedFeatures) -> None:
    _, count = np.unique(photos.people, return_counts=True)
    if (people := int((count > 1).sum())) < LEAST_PEOPLE:
        raise FeaturesError(
            f"{people} people with two photos are too few to learn from or be measured "
            f"on: each part needs {LEAST_PEOPLE}."
        )


def _counted(photos: CachedFeatures) -> dict[str, int]:
    return {"people": len(np.unique(photos.people)), "photos": len(photos)}
