"""Training learns, is judged, and can be resumed exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typing_extensions import override

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.small.heads import FACE_HEADS, Head, width
from annotation.training import fit, judging, lite
from annotation.training.augment import Changes
from annotation.training.further import OF_FACES
from annotation.training.judging import Judgement
from annotation.training.judging import answers as answers_of
from annotation.training.learning import Course, learner_of, one_epoch
from annotation.training.losses import Recalled
from annotation.training.memory import Memory
from annotation.training.network import Branch
from annotation.training.recipe import BranchRecipe, Stage
from annotation.training.run import Run
from annotation.training.views import Views
from annotation.training.whitening import whiten
from tests.annotation.blocks import blocks

pytestmark = pytest.mark.torch
SIZE = (32, 32)
LEARN = Stage(
    "fine-tuning", epochs=4, rate=5e-3, trunk_rate=5e-3, metric=0.1, self_taught=0.4
)
# As deep as the trunk that is shipped, with a block a stage and few channels.
SHALLOW = tuple(replace(stage, channels=8, blocks=1) for stage in lite.STAGES)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Batches this small are only slowed down by a second one."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def small_run() -> Iterator[None]:
    """A network of few channels shows as well how it is taught; curves take longer."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(lite, "STAGES", SHALLOW)
        patched.setattr("annotation.training.run.draw", lambda *_: None)
        yield


def course(*stages: Stage, frozen: int = 0) -> Course:
    """A tiny face branch with random weights; half of the blocks are kept from it."""
    torch.manual_seed(3)
    own = blocks(96)
    kept = np.arange(96) >= 48
    return Course(
        name="face",
        branch=Branch(SIZE, width(FACE_HEADS), len(OF_FACES), stages=6),
        heads=FACE_HEADS,
        learned=own.where(~kept),
        kept=own.where(kept),
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


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> tuple[Course, Run]:
    """A course that was gone through without a break."""
    own, run = course(), Run(tmp_path_factory.mktemp("whole"), "", resume=False)
    fit.teach(own, run)
    return own, run


def test_it_learns_what_it_is_shown(taught: tuple[Course, Run]) -> None:
    own, _ = taught
    logits, _ = answers_of(own.branch, own.kept)
    blonde_over_black = logits[:, 4] - logits[:, 2]
    bright = own.kept.images.mean((1, 2, 3)) > 100
    leaning = blonde_over_black > np.median(blonde_over_black)
    assert (leaning == bright).mean() > 0.9


def test_it_judges_an_epoch_by_photos_kept_from_training(
    taught: tuple[Course, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = taught
    assert max(epoch.ranking for epoch in run.epochs()) > 0.9
    own, asked = course(), list[Views]()

    def judged(_: Branch, views: Views, __: tuple[Head, ...]) -> Judgement:
        asked.append(views)
        return STANDSTILL

    monkeypatch.setattr("annotation.training.learning.judge", judged)
    one_epoch(replace(own, examples=16), LEARN, "", 1, learner_of(own, LEARN))
    assert asked == [own.kept]


def test_people_are_known_by_the_direction_of_their_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The longest is of somebody else: by length it would be nearest to all.
    features = np.array([[1, 0], [0.9, 0.1], [9, 9], [0, 1]], np.float32)
    logits = np.zeros((4, width(FACE_HEADS)), np.float32)
    monkeypatch.setattr(judging, "answers", lambda *_: (logits, features))
    people = replace(blocks(4), identity=np.array([0, 0, 1, 2]))
    found = judging.judge(course().branch, people, FACE_HEADS)
    assert found.recall_at_1 == 1


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    taught: tuple[Course, Run], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit.teach(course(), Interrupted(tmp_path, "", resume=False))
    resumed, run = course(), Run(tmp_path, "", resume=True)
    fit.teach(resumed, run)
    whole, whole_run = taught
    for name, value in whole.branch.state_dict().items():
        torch.testing.assert_close(resumed.branch.state_dict()[name], value)
    assert [one.losses for one in run.epochs()] == [
        one.losses for one in whole_run.epochs()
    ]


def test_it_believes_its_own_answers_more_from_epoch_to_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Watched(Memory):
        @override
        def recall(self, positions: torch.Tensor, *, belief: float) -> Recalled:
            asked.append(belief)
            return super().recall(positions, belief=belief)

    monkeypatch.setattr("annotation.training.learning.Memory", Watched)
    fit.teach(replace(course(), examples=16), Run(tmp_path, "", resume=False))
    assert asked == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_what_it_answered_before_is_part_of_its_lessons(tmp_path: Path) -> None:
    losses = []
    for believed in (0.0, 0.9):
        stage = replace(LEARN, epochs=2, metric=0.0, self_taught=believed)
        run = Run(tmp_path / str(believed), "", resume=False)
        fit.teach(replace(course(stage), examples=48), run)
        losses.append([one.losses["labels"] for one in run.epochs()])
    (first, second), (alike, other) = losses
    assert first == alike  # nothing was answered before
    assert second != pytest.approx(other, rel=0.01)


class Interrupted(Run):
    """Stops when two epochs have been kept."""

    @override
    def save(self, name: str, state: dict[str, Any]) -> None:
        super().save(name, state)
        if state["done"] == 2:
            raise KeyboardInterrupt


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


def test_the_recipe_says_how_often_blocks_are_passed_over(tmp_path: Path) -> None:
    own = course(replace(LEARN, epochs=1))
    recipe = replace(own.recipe, passed_over=0.3)
    own = replace(own, examples=16, recipe=recipe)
    fit.teach(own, Run(tmp_path, "", resume=False))
    last = own.branch.top[-1]
    assert isinstance(last, lite.Block)
    assert last.passed_over == 0.3


def test_the_recipe_says_how_much_a_head_counts() -> None:
    own = course()
    nothing = {head.name: 0.0 for head in FACE_HEADS}
    own = replace(own, examples=16, recipe=replace(own.recipe, weights=nothing))
    epoch = one_epoch(own, LEARN, "", 1, learner_of(own, LEARN))
    assert epoch.losses["labels"] == 0


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    own = course()
    torch.nn.init.constant_(own.branch.heads.bias, torch.nan)
    with pytest.raises(FloatingPointError, match="lower rates"):
        one_epoch(replace(own, examples=16), LEARN, "", 1, learner_of(own, LEARN))


def changed_by(own: Course, stage: Stage) -> set[str]:
    """Names of what one epoch of the stage changes, statistics included."""
    before = {name: value.clone() for name, value in own.branch.state_dict().items()}
    one_epoch(replace(own, examples=16), stage, "", 1, learner_of(own, stage))
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
