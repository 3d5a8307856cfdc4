"""Training: each branch through the stages of its recipe."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from annotation.calibration.scaling import Floats
from annotation.training import lite
from annotation.training.judging import Judgement, answers, judge
from annotation.training.learning import (
    Course,
    learner_of,
    metric_losses,
    one_epoch,
)
from annotation.training.network import Branch, Encoder
from annotation.training.recipe import (
    HEADS_OF,
    JUDGED_BY,
    SOURCES,
    BranchRecipe,
    Recipe,
    Stage,
)
from annotation.training.run import Epoch, Run
from annotation.training.views import Views
from annotation.training.whitening import whiten

WHITENING_PHOTOS: Final = 4000
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
    for name, views in (("face", faces), ("photo", photos)):
        course = _course(name, getattr(encoder, name), views, recipe)
        teach(course, run)
        whiten(getattr(encoder, f"whiten_{name}"), _features(course))
    return encoder.cpu().eval()


def _course(name: str, branch: Branch, views: Views, recipe: Recipe) -> Course:
    """An epoch shows about every photo of the branch's own source once."""
    judged = SOURCES[JUDGED_BY[name]]
    own: BranchRecipe = getattr(recipe, name)
    learned = views.where(~views.validation)
    count = int((learned.source == judged).sum())
    return Course(
        name=name,
        branch=branch,
        heads=HEADS_OF[name],
        learned=learned,
        kept=views.where(views.validation & (views.source == judged)),
        recipe=own,
        seed=recipe.seed,
        examples=round(count / own.shares[judged]),
    )


def _features(course: Course) -> Floats:
    """Of the branch's own source, some of the photos that it was taught with."""
    judged = SOURCES[JUDGED_BY[course.name]]
    own = np.flatnonzero(course.learned.source == judged)
    some = own[:: max(1, len(own) // WHITENING_PHOTOS)]
    return answers(course.branch, course.learned.where(some))[1]


def teach(course: Course, run: Run) -> None:
    """Take a branch through all stages; each begins where the last ended."""
    branch = course.branch
    lite.pass_over(branch.middle, branch.top, course.recipe.passed_over)
    for stage in course.recipe.stages:
        before = deepcopy(branch.state_dict())
        legs = []
        for name in metric_losses(stage):
            branch.load_state_dict(before)
            legs.append(_leg(course, stage, name, run))
        branch.load_state_dict(_chosen(course, before, legs))


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
    name = _file_name(course, stage, metric_loss)
    learner = learner_of(course, stage)
    kept = run.saved(name)
    if kept:
        course.branch.load_state_dict(kept["branch"])
        learner.load_state_dict(kept["learner"])
    for number in range(kept["done"] + 1 if kept else 1, stage.epochs + 1):
        if kept and number - kept["best"]["number"] > stage.patience:
            break
        epoch = one_epoch(course, stage, metric_loss, number, learner)
        run.tell(epoch)
        kept = _after(kept, epoch, course, stage)
        kept |= {"done": number, "learner": learner.state_dict()}
        run.save(name, kept)
    assert kept is not None  # noqa: S101 - a stage has an epoch
    best = kept["best"]
    judged = Judgement(best["ranking"], best["recall_at_1"])
    return Leg(stage, metric_loss, kept["state"], judged)


def _after(
    kept: dict[str, Any] | None, epoch: Epoch, course: Course, stage: Stage
) -> dict[str, Any]:
    """The checkpoint with this epoch's weights, and the best epoch's in `state`."""
    weights = course.branch.state_dict()
    found = epoch.recall_at_1 if stage.people else epoch.ranking
    if kept and found <= kept["best"]["found"]:
        return kept | {"branch": weights}
    best = {
        "number": epoch.number,
        "found": found,
        "ranking": epoch.ranking,
        "recall_at_1": epoch.recall_at_1,
    }
    return {"best": best, "state": deepcopy(weights), "branch": weights}


def _file_name(course: Course, stage: Stage, metric_loss: str) -> str:
    parts = (course.name, stage.name, metric_loss)
    return "-".join(part.replace(" ", "-") for part in parts if part)
