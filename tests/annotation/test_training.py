"""Training learns, can be resumed exactly, and publishes what it has learned."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.small.heads import FACE_HEADS, WIDTH, width
from annotation.small.readout import Readout
from annotation.training import fit, judging, recipe
from annotation.training.augment import Changes
from annotation.training.further import OF_FACES
from annotation.training.judging import Judgement
from annotation.training.judging import answers as answers_of
from annotation.training.learning import Course, one_epoch, optimizer_of
from annotation.training.network import Branch
from annotation.training.pipeline import Plan, train_encoder
from annotation.training.recipe import BranchRecipe, Stage
from annotation.training.run import CURVES, Epoch, Run
from annotation.training.views import Views
from annotation.training.whitening import whiten
from tests.annotation.blocks import blocks

pytestmark = pytest.mark.torch
SIZE = (32, 32)
LEARN = Stage("fine-tuning", epochs=4, rate=2e-3, trunk_rate=2e-3, metric=0.1)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Batches this small are only slowed down by a second one."""
    torch.set_num_threads(1)


def course(*stages: Stage, views: Views | None = None, frozen: int = 0) -> Course:
    """A tiny face branch with random weights, and what it is to be taught."""
    torch.manual_seed(3)
    own = blocks() if views is None else views
    kept = own.validation
    return Course(
        name="face",
        branch=Branch(SIZE, width(FACE_HEADS), len(OF_FACES), stages=6),
        heads=FACE_HEADS,
        learned=own.where(~kept),
        kept=own.where(kept if kept.any() else ~kept),
        recipe=BranchRecipe(
            batch=16,
            shares={0: 1.0},
            changes=Changes(zoom=0.05),
            stages=stages or (LEARN,),
            frozen_blocks=frozen,
        ),
        seed=3,
        examples=256,
    )


def taught(
    folder: Path, *, stop_after: int | None = None, resume: bool = False
) -> Branch:
    """A branch trained on the blocks; interrupted after some epochs if asked."""
    own, run = course(), Run(folder, "", resume=resume)
    save, epochs_seen = run.save, 0

    def stopping(name: str, state: dict[str, Any]) -> None:
        nonlocal epochs_seen
        save(name, state)
        epochs_seen += 1
        if epochs_seen == stop_after:
            raise KeyboardInterrupt

    run.save = stopping  # type: ignore[method-assign]
    try:
        fit.teach(own, run)
    except KeyboardInterrupt:
        assert stop_after is not None
    return own.branch.eval()


def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    _, logits = answers_of(taught(tmp_path), blocks())
    blonde_over_black = logits[:, 4] - logits[:, 2]
    assert ((blonde_over_black > 0) == (np.arange(48) % 2 == 1)).mean() > 0.9


def test_it_judges_an_epoch_by_photos_kept_from_training(tmp_path: Path) -> None:
    views = blocks(96)
    kept = Views(**{**views.__dict__, "validation": np.arange(96) >= 48})
    run = Run(tmp_path, "", resume=False)
    fit.teach(course(views=kept), run)
    assert max(epoch.ranking for epoch in run.epochs()) > 0.9


def test_people_are_known_by_the_direction_of_their_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The longest is of somebody else: by length it would be nearest to all.
    features = np.array([[1, 0], [0.9, 0.1], [9, 9], [0, 1]], np.float32)
    logits = np.zeros((4, width(FACE_HEADS)), np.float32)
    monkeypatch.setattr(judging, "answers", lambda *_: (features, logits))
    own = course(views=blocks(4)).kept
    people = Views(**{**own.__dict__, "identity": np.array([0, 0, 1, 2])})
    found = judging.judge(course().branch, people, FACE_HEADS)
    assert found.recall_at_1 == 1


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = taught(tmp_path / "whole").state_dict()
    taught(tmp_path / "broken", stop_after=2)
    resumed = taught(tmp_path / "broken", resume=True).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


def test_a_run_is_not_gone_on_with_by_another_recipe(tmp_path: Path) -> None:
    Run(tmp_path, "seed = 1", resume=False)
    with pytest.raises(FileExistsError):
        Run(tmp_path, "seed = 2", resume=True)


def test_a_new_run_leaves_checkpoints_of_others_alone(tmp_path: Path) -> None:
    others = tmp_path / "ours.pt"
    others.write_bytes(b"not of a run")
    with pytest.raises(FileExistsError, match="something else"):
        Run(tmp_path, "seed = 1", resume=False)
    assert others.exists()


def test_a_stage_that_gains_nothing_stops_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation.training.learning.judge", lambda *_: STANDSTILL)
    run = Run(tmp_path, "", resume=False)
    patient = replace(LEARN, epochs=9, patience=2)
    fit.teach(replace(course(patient), examples=32), run)
    assert len(run.epochs()) == 3


STANDSTILL = Judgement(ranking=0.7, recall_at_1=0.1)


def test_a_warm_up_changes_the_new_layers_only() -> None:
    warm_up = replace(LEARN, trunk_rate=0.0)
    changed = changed_by(course(warm_up), warm_up)
    assert "heads.weight" in changed
    assert not [name for name in changed if name.startswith(("middle", "top"))]


def test_frozen_blocks_stay_as_they_were() -> None:
    changed = changed_by(course(LEARN, frozen=2), LEARN)
    blocks = {name.split(".")[1] for name in changed if name.startswith("middle")}
    assert "2" in blocks
    assert blocks.isdisjoint({"0", "1"})


def changed_by(own: Course, stage: Stage) -> set[str]:
    """Names of what one epoch of the stage changes, statistics included."""
    before = {name: value.clone() for name, value in own.branch.state_dict().items()}
    one_epoch(own, stage, "", 1, optimizer_of(own, stage))
    after = own.branch.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    ("ranking", "recall", "kept"),
    [(0.9, 0.3, True), (0.8, 0.3, False), (0.9, 0.1, False)],
)
def test_refinement_is_kept_where_it_helps_and_costs_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ranking: float,
    recall: float,
    kept: bool,
) -> None:
    refine = replace(LEARN, name="refinement", epochs=1, people=True)
    own = replace(course(refine), examples=48)
    monkeypatch.setattr(
        "annotation.training.learning.judge", lambda *_: Judgement(ranking, recall)
    )
    monkeypatch.setattr(fit, "judge", lambda *_: Judgement(0.9, 0.2))
    before = {name: value.clone() for name, value in own.branch.state_dict().items()}
    run = Run(tmp_path, "", resume=False)
    fit.teach(own, run)
    after = own.branch.state_dict()
    assert kept != all(torch.equal(before[name], after[name]) for name in before)
    assert [epoch.metric_loss for epoch in run.epochs()] == ["triplet", "supcon"]


def test_a_run_draws_its_curves(tmp_path: Path) -> None:
    run = Run(tmp_path, "", resume=False)
    for number, stage in enumerate(("warm-up", "fine-tuning"), 1):
        run.tell(Epoch("face", stage, "", number, {"labels": 2.0}, 0.8, 0.1, 1.0))
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
    assert [epoch.stage for epoch in run.epochs()] == ["warm-up", "fine-tuning"]


def test_whitened_features_are_uncorrelated_and_as_telling() -> None:
    rng = np.random.default_rng(6)
    alike = rng.normal(size=(500, 1)) * [3.0, 3.0, 0.0, 0.0]
    features = (alike + rng.normal(size=(500, 4)) + 5).astype(np.float32)
    layer = torch.nn.Linear(4, 4)
    whiten(layer, features)
    with torch.no_grad():
        white = layer(torch.from_numpy(features)).numpy()
    assert np.cov(white, rowvar=False) == pytest.approx(np.eye(4), abs=0.01)
    assert white.mean(0) == pytest.approx(np.zeros(4), abs=0.01)


def quick(folder: Path) -> Path:
    """The shipped recipe with one epoch a stage and small batches."""
    text = re.sub(r"epochs = \d+", "epochs = 1", recipe.DEFAULT.read_text())
    path = folder / "quick.toml"
    path.write_text(re.sub(r"batch = \d+", "batch = 8", text))
    return path


@pytest.mark.data
@pytest.mark.skipif(
    not settings.TRAINING_DATA.is_dir(), reason="the training data are not here"
)
def test_it_trains_from_real_photos_to_described_weights(tmp_path: Path) -> None:
    plan = Plan(
        data=settings.TRAINING_DATA,
        out=tmp_path / "out",
        name="tiny",
        run=tmp_path / "run",
        recipe=quick(tmp_path),
        limit=24,
    )
    metadata = train_encoder(plan)
    assert (plan.out / "tiny.onnx").stat().st_size == metadata["bytes"]
    written = json.loads((plan.out / "tiny.json").read_text())
    assert written["sha256"] == metadata["sha256"]
    assert written["research_data"] is True
    readout = Readout.of_json(written["calibration"])
    answers = readout.answers(np.zeros((1, WIDTH), np.float32), np.ones(1))
    assert answers.probabilities.shape == (1, WIDTH)
