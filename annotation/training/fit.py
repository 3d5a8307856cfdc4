"""Training: each branch through the stages of its recipe."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import torch

from annotation.small.heads import FACE_HEADS, PHOTO_HEADS
from annotation.training import lite
from annotation.training.judging import Judgement, judge
from annotation.training.learning import (
    Course,
    metric_losses,
    one_epoch,
    optimizer_of,
)
from annotation.training.network import Encoder
from annotation.training.recipe import BranchRecipe, Recipe, Stage
from annotation.training.run import Run
from annotation.training.views import CELEBA, CLOTHING, Views

# What a refined embedding may cost the attributes, in mean AUC.
ALLOWED_LOSS: Final = 0.001


@dataclass(frozen=True)
class Leg:
    """A stage with one metric loss, and where it has come to."""

    stage: Stage
    metric_loss: str
    state: dict[str, Any]
    best: Judgement


def train(
    faces: Views, photos: Views, recipe: Recipe, run: Run, device: torch.device
) -> Encoder:
    """A trained encoder. The same seed and data give the same one on one machine."""
    torch.manual_seed(recipe.seed)
    encoder = Encoder()
    for branch in (encoder.face, encoder.photo):
        if recipe.start == "imagenet":
            lite.start_from_imagenet(branch.middle, branch.top)
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, views, heads, judged in (
        ("face", faces, FACE_HEADS, CELEBA),
        ("photo", photos, PHOTO_HEADS, CLOTHING),
    ):
        own: BranchRecipe = getattr(recipe, name)
        learned = views.where(~views.validation)
        main = int((learned.source == judged).sum())
        course = Course(
            name=name,
            branch=getattr(encoder, name),
            heads=heads,
            learned=learned,
            kept=views.where(views.validation & (views.source == judged)),
            recipe=own,
            seed=recipe.seed,
            examples=round(main / own.shares[judged]),
        )
        teach(course, run)
    return encoder.cpu().eval()


def teach(course: Course, run: Run) -> None:
    """Take a branch through all stages; each begins where the last ended."""
    for stage in course.recipe.stages:
        before = deepcopy(course.branch.state_dict())
        legs = []
        for name in metric_losses(stage):
            course.branch.load_state_dict(before)
            legs.append(_leg(course, stage, name, run))
        course.branch.load_state_dict(_chosen(course, before, legs))


def _chosen(course: Course, before: dict[str, Any], legs: list[Leg]) -> dict[str, Any]:
    """The best leg's weights; those from before where refinement cost attributes."""
    if not legs[0].stage.people:
        return legs[0].state
    course.branch.load_state_dict(before)
    start = judge(course.branch, course.kept, course.heads)
    fit = [leg for leg in legs if leg.best.ranking >= start.ranking - ALLOWED_LOSS]
    best = max(fit, key=lambda leg: leg.best.recall_at_1, default=None)
    if best is None or best.best.recall_at_1 <= start.recall_at_1:
        return before
    return best.state


def _leg(course: Course, stage: Stage, metric_loss: str, run: Run) -> Leg:
    """Train through one stage; its best epoch. Goes on where a checkpoint stands."""
    branch, name = course.branch, _file_name(course, stage, metric_loss)
    optimizer = optimizer_of(course, stage)
    kept = run.saved(name) or {"done": 0, "best": None, "state": None}
    if kept["done"]:
        branch.load_state_dict(kept["branch"])
        optimizer.load_state_dict(kept["optimizer"])
    best, state = kept["best"], kept["state"]
    for number in range(kept["done"] + 1, stage.epochs + 1):
        if best and number - best["number"] > stage.patience:
            break
        epoch = one_epoch(course, stage, metric_loss, number, optimizer)
        run.tell(epoch)
        found = epoch.recall_at_1 if stage.people else epoch.ranking
        if best is None or not found <= best["found"]:
            best = {"number": number, "found": found}
            best |= {"ranking": epoch.ranking, "recall_at_1": epoch.recall_at_1}
            state = deepcopy(branch.state_dict())
        run.save(
            name,
            {
                "done": number,
                "best": best,
                "state": state,
                "branch": branch.state_dict(),
                "optimizer": optimizer.state_dict(),
            },
        )
    return Leg(
        stage, metric_loss, state, Judgement(best["ranking"], best["recall_at_1"])
    )


def _file_name(course: Course, stage: Stage, metric_loss: str) -> str:
    parts = (course.name, stage.name, metric_loss)
    return "-".join(part.replace(" ", "-") for part in parts if part)
