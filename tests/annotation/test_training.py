"""Training learns, can be resumed exactly, and exports what it has learned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import FACE_HEADS, WIDTH, width
from annotation.small.readout import Readout
from annotation.training import fit
from annotation.training.augment import Changes, augment
from annotation.training.batches import balanced, interleaved, people_together
from annotation.training.export import ExportError, _difference, _noise, export, slim
from annotation.training.further import OF_FACES
from annotation.training.losses import (
    known_binary_loss,
    partial_label_loss,
    supervised_contrast,
)
from annotation.training.network import Branch, Encoder
from annotation.training.pipeline import Plan, train_encoder
from annotation.training.views import Views

pytestmark = pytest.mark.torch
TINY = fit.Stage(
    name="face",
    heads=FACE_HEADS,
    size=(32, 32),
    epochs=4,
    examples=256,
    share={0: 1.0},
    judged=0,
    changes=Changes(zoom=0.05),
    batch=16,
)


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


def trained(
    run: Path, *, stop_after: int | None = None, resume: bool = False
) -> Branch:
    """A branch trained on the blocks; interrupted after some epochs if asked."""
    torch.manual_seed(3)
    run.mkdir(exist_ok=True)
    branch = Branch(width(FACE_HEADS), len(OF_FACES))
    epochs_seen = 0
    save = fit._save

    def stopping(*args: object, **kept: object) -> None:
        nonlocal epochs_seen
        save(*args, **kept)  # type: ignore[arg-type]
        epochs_seen += 1
        if epochs_seen == stop_after:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_save", stopping)
        try:
            fit._train_branch(branch, blocks(), TINY, run, seed=3, resume=resume)
        except KeyboardInterrupt:
            assert stop_after is not None
    return branch.eval()


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


def test_contrast_is_lower_where_one_persons_photos_are_alike() -> None:
    identity = torch.tensor([0, 0, 1, 1, -1])
    apart = torch.eye(5)
    alike = apart[[0, 0, 2, 2, 4]]
    assert supervised_contrast(alike, identity) < supervised_contrast(apart, identity)
    assert supervised_contrast(apart, torch.arange(5)) == 0


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
    order = interleaved(mixed, np.arange(60), np.random.default_rng(4))
    assert sorted(order) == list(range(60))
    per_batch = [(mixed.source[order[i : i + 10]] == 1).sum() for i in range(0, 60, 10)]
    assert set(per_batch) <= {1, 2, 3}


def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    branch = trained(tmp_path)
    logits = fit.logits_of(branch, blocks(), (32, 32))
    blonde_over_black = logits[:, 4] - logits[:, 2]
    assert ((blonde_over_black > 0).numpy() == (np.arange(48) % 2 == 1)).mean() > 0.9


def test_it_judges_an_epoch_by_photos_kept_from_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    views = blocks(96)
    kept = Views(**{**views.__dict__, "validation": np.arange(96) >= 48})
    torch.manual_seed(3)
    branch = Branch(width(FACE_HEADS), len(OF_FACES))
    fit._train_branch(branch, kept, TINY, tmp_path, seed=3, resume=False)
    last = capsys.readouterr().err.splitlines()[-1]
    assert float(last.split("ranking ")[1].split(",")[0]) > 0.9


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole").state_dict()
    trained(tmp_path / "broken", stop_after=2)
    resumed = trained(tmp_path / "broken", resume=True).state_dict()
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value)


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
    return slim(encoder)


def test_the_exported_network_answers_as_torch_does(
    encoder: Encoder, tmp_path: Path
) -> None:
    assert export(encoder, tmp_path / "net.onnx") < 1e-3


def test_a_face_reads_the_same_in_the_mirror(encoder: Encoder) -> None:
    face, photo = _noise(3)
    with torch.no_grad():
        seen, mirrored = encoder(face, photo), encoder(face.flip(2), photo)
    for one, other in zip(seen, mirrored, strict=True):
        torch.testing.assert_close(one, other)


def test_slimming_changes_answers_by_no_more_than_rounding() -> None:
    torch.manual_seed(2)
    encoder = Encoder()
    encoder(*_noise(8))
    encoder.eval()
    with torch.no_grad():
        before, after = encoder(*_noise(3)), slim(encoder)(*_noise(3))
    torch.testing.assert_close(after[1], before[1], atol=0.01, rtol=0)


def test_an_export_that_answers_otherwise_is_refused(
    encoder: Encoder, tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    export(encoder, path)
    torch.nn.init.constant_(encoder.photo.heads.bias, 1)
    with pytest.raises(ExportError):
        _difference(encoder, path)


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
        epochs=1,
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
