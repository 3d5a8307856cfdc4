"""Training learns, can be resumed exactly, and exports what it has learned."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import FACE_HEADS, WIDTH, width
from annotation.small.readout import Readout
from annotation.training import fit, lite, recipe
from annotation.training.augment import Changes, augment
from annotation.training.batches import (
    PHOTOS_PER_PERSON,
    balanced,
    interleaved,
    people_together,
    with_company,
)
from annotation.training.export import (
    ExportError,
    _difference,
    _noise,
    _precise,
    answers,
    export,
    folded,
    quantise,
)
from annotation.training.further import OF_FACES
from annotation.training.judging import Judgement
from annotation.training.judging import answers as answers_of
from annotation.training.learning import Course, one_epoch, optimizer_of
from annotation.training.losses import known_binary_loss, partial_label_loss
from annotation.training.metric import ContrastLoss, MetricLoss, TripletLoss
from annotation.training.network import Branch, Encoder
from annotation.training.pipeline import Plan, train_encoder
from annotation.training.recipe import BranchRecipe, Stage
from annotation.training.run import CURVES, Epoch, Run
from annotation.training.views import Views
from annotation.training.whitening import whiten

pytestmark = pytest.mark.torch
SIZE = (32, 32)
LEARN = Stage("fine-tuning", epochs=4, rate=2e-3, trunk_rate=2e-3, metric=0.1)


def blocks(count: int = 48) -> Views:
    """Bright and dark squares: the bright ones are labelled blonde, the dark black."""
    rng = np.random.default_rng(5)
    bright = np.arange(count) % 2
    noise = rng.integers(0, 40, (count, 32, 32, 3))
    images = (noise + (bright * 180)[:, None, None, None]).astype(np.uint8)
    targets = np.zeros((count, width(FACE_HEADS)), np.int8)
    targets[:, :2] = UNKNOWN  # presence
    targets[:, -3:] = UNKNOWN  # jewellery
    targets[np.arange(count), 2 + 2 * bright] = 1  # black or blonde
    return Views(
        images,
        targets,
        np.full((count, len(OF_FACES)), UNKNOWN, np.int8),
        np.arange(count) // 2,
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )


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


def test_a_label_that_can_mean_two_classes_is_satisfied_by_either() -> None:
    either = torch.tensor([[1, 1, 0]])
    for logits in ([[9.0, -9.0, -9.0]], [[-9.0, 9.0, -9.0]]):
        assert partial_label_loss(torch.tensor(logits), either) < 1e-3
    assert partial_label_loss(torch.tensor([[-9.0, -9.0, 9.0]]), either) > 9


def test_missing_labels_teach_nothing() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    nothing = partial_label_loss(logits, torch.zeros(4, 3))
    nothing = nothing + known_binary_loss(logits, torch.full((4, 3), UNKNOWN))
    torch.autograd.backward(nothing)
    assert nothing.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize(
    "loss", [TripletLoss(hard=True), ContrastLoss(), ContrastLoss(5)]
)
def test_metric_losses_are_lower_where_one_persons_photos_are_alike(
    loss: MetricLoss,
) -> None:
    identity = torch.tensor([0, 0, 1, 1, -1])
    apart = torch.eye(5)
    alike = apart[[0, 0, 2, 2, 4]]
    assert loss(alike, identity) < loss(apart, identity)


def test_photos_of_unknown_people_teach_nobody_apart() -> None:
    features = torch.randn(4, 5, requires_grad=True)
    for loss in (TripletLoss(hard=True), ContrastLoss(), ContrastLoss(5)):
        assert loss(features, torch.full((4,), -1)) == 0


def test_people_come_with_company() -> None:
    identity = np.array([7] * 6 + [8, 9, 9, -1])
    kept = with_company(np.arange(10), identity, np.random.default_rng(2))
    assert np.bincount(identity[kept] + 1, minlength=11).tolist() == [
        1, 0, 0, 0, 0, 0, 0, 0, PHOTOS_PER_PERSON, 0, 2,
    ]  # fmt: skip


def test_sources_are_sampled_in_their_shares_and_evenly() -> None:
    views = blocks(40).where(np.arange(40))
    mixed = Views(**{**views.__dict__, "source": np.repeat([0, 1], [32, 8])})
    drawn = balanced(mixed, {0: 0.5, 1: 0.5}, 40, np.random.default_rng(0))
    assert (mixed.source[drawn] == 0).sum() == 20
    counts = np.bincount(drawn, minlength=40)[32:]
    assert set(counts) <= {2, 3}


def test_a_part_of_a_view_may_be_hidden_and_is_not_otherwise() -> None:
    grey = np.full((64, 48, 3), 120, np.uint8)

    def colours(hidden: float) -> int:
        rng = np.random.default_rng(2)
        changed = augment(grey, (64, 48), Changes(0.1, hidden), rng).image
        return len(np.unique(changed.reshape(-1, 3), axis=0))

    assert colours(0.0) == 1
    assert colours(1.0) > 1


def test_photos_of_one_person_share_a_batch() -> None:
    identity = np.array([4, 2, 4, -1, 2, 4])
    order = people_together(np.arange(6), identity, np.random.default_rng(1))
    assert sorted(order) == list(range(6))
    places = np.flatnonzero(identity[order] == 4)
    assert places.max() - places.min() == 2


def test_every_batch_has_its_share_of_each_source() -> None:
    views = blocks(60)
    mixed = Views(**{**views.__dict__, "source": np.repeat([0, 1], [48, 12])})
    rng = np.random.default_rng(4)
    order = interleaved(mixed.source, np.arange(60), rng, together=None)
    assert sorted(order) == list(range(60))
    per_batch = [(mixed.source[order[i : i + 10]] == 1).sum() for i in range(0, 60, 10)]
    assert set(per_batch) <= {1, 2, 3}


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


def test_training_starts_from_what_imagenet_taught() -> None:
    middle, top = lite.trunk(7)
    lite.start_from_imagenet(middle, top)
    weights = lite._learned()
    stem, last = "_conv_stem.weight", "_blocks.15._project_conv.weight"
    assert torch.equal(middle.state_dict()["0.0.weight"], weights[stem])
    assert torch.equal(top.state_dict()["4.path.6.weight"], weights[last])


def test_other_weights_than_expected_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lite, "SHA256", "0" * 64)
    with pytest.raises(lite.PretrainedError, match="not the file"):
        lite.start_from_imagenet(*lite.trunk(6))
    monkeypatch.setattr(lite, "PACKAGE", "not_installed_at_all")
    with pytest.raises(lite.PretrainedError, match=r"vlm\.txt"):
        lite.start_from_imagenet(*lite.trunk(6))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Batches this small are only slowed down by a second one."""
    torch.set_num_threads(1)


@pytest.fixture
def encoder() -> Encoder:
    """Random weights, with the statistics of some views, as training leaves them."""
    torch.manual_seed(1)
    encoder = Encoder()
    encoder(*_noise(8))
    return encoder.eval()


def test_the_exported_network_answers_as_torch_does(
    encoder: Encoder, tmp_path: Path
) -> None:
    assert export(folded(encoder), tmp_path / "net.onnx") < 1e-3


def test_a_photo_reads_the_same_in_the_mirror(encoder: Encoder) -> None:
    face, photo = _noise(3)
    with torch.no_grad():
        seen, mirrored = encoder(face, photo), encoder(face.flip(2), photo.flip(2))
    for one, other in zip(seen, mirrored, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_folding_changes_no_answer(encoder: Encoder) -> None:
    with torch.no_grad():
        before, after = encoder(*_noise(3)), folded(encoder)(*_noise(3))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_rounding_to_eight_bits_keeps_the_answers_and_saves_space(
    encoder: Encoder, tmp_path: Path
) -> None:
    exact, rounded = tmp_path / "exact.onnx", tmp_path / "rounded.onnx"
    export(folded(encoder), exact)
    views = [view.numpy() for view in _noise(8)]
    level = logging.getLogger().level
    quantise(exact, rounded, *views)
    assert logging.getLogger().level == level
    before, after = (answers(file, *views)[1] for file in (exact, rounded))
    assert (before * after).sum(1).mean() > 0.95
    assert rounded.stat().st_size < exact.stat().st_size / 2
    left = {name for name in _precise(exact) if "/middle/" in name}
    assert len(left) == 2 * (1 + 2 + 3 + 3)  # of both branches: the stem, three blocks


def test_an_export_that_answers_otherwise_is_refused(
    encoder: Encoder, tmp_path: Path
) -> None:
    path, shipped = tmp_path / "net.onnx", folded(encoder)
    export(shipped, path)
    torch.nn.init.constant_(shipped.photo.heads.bias, 1)
    with pytest.raises(ExportError):
        _difference(shipped, path)


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
