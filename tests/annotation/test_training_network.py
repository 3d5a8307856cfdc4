"""The network starts from what is known, and is exported as it answers."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TypeVar

import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import onnxruntime
import torch

from annotation.backends import weights
from annotation.training import lite, recipe
from annotation.training.export import (
    TOLERANCE,
    ExportError,
    _difference,
    _noise,
    _precise,
    answers,
    export,
    folded,
    quantise,
)
from annotation.training.network import Branch, Encoder, _both_ways

pytestmark = pytest.mark.torch
Network = TypeVar("Network", bound=torch.nn.Module)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Batches this small are only slowed down by a second one."""
    torch.set_num_threads(1)


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


def test_in_training_some_images_pass_over_a_block() -> None:
    torch.manual_seed(3)
    block = lite.Block(8, lite.Stage(1, 3, 1, 8, 1), 1)
    block.passed_over = 0.25
    block.path = torch.nn.Sequential()  # answers what it is given
    found = block(torch.ones(4000, 8, 1, 1)).flatten(1)
    passed_over = (found == 1).all(1)
    assert passed_over.float().mean() == pytest.approx(0.25, abs=0.03)
    assert found[~passed_over].unique().tolist() == pytest.approx([1 + 1 / 0.75])
    assert (block.eval()(torch.ones(9, 8, 1, 1)) == 2).all()


def test_later_blocks_are_passed_over_more_often() -> None:
    middle, top = lite.trunk(7)
    lite.pass_over(middle, top, 0.2)
    blocks = [one for one in (*middle, *top) if isinstance(one, lite.Block)]
    chances = [block.passed_over for block in blocks]
    assert (chances[0], chances[-1]) == (0, 0.2)
    assert sorted(set(chances)) == chances


def used(network: Network, *views: torch.Tensor) -> Network:
    """Normalised by these views, without which all answers would be next to nothing."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = 1.0
    network(*views)
    return network.eval()


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Random weights, with the statistics of some views, as training leaves them."""
    torch.manual_seed(1)
    return used(Encoder(), *_noise(8))


@pytest.fixture(scope="module")
def exact(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported network, which has been checked against torch."""
    path = tmp_path_factory.mktemp("exported") / "exact.onnx"
    assert export(folded(encoder), path) < TOLERANCE
    return path


def test_the_exported_network_answers_as_torch_does(
    encoder: Encoder, exact: Path
) -> None:
    face, photo = _noise(3)
    with torch.no_grad():
        expected = encoder(face, photo)
    for one, other in zip(
        answers(exact, face.numpy(), photo.numpy()), expected, strict=True
    ):
        assert one == pytest.approx(other.numpy(), abs=TOLERANCE)


def test_a_view_is_looked_at_enlarged() -> None:
    torch.manual_seed(2)
    large = Branch((64, 64), 3, 1, stages=6).eval()
    enlarging = Branch((32, 32), 3, 1, stages=6, enlarged=(64, 64)).eval()
    enlarging.load_state_dict(large.state_dict())
    view = torch.full((1, 64, 64, 3), 200, dtype=torch.uint8)
    view[:, :, :32] = 40
    with torch.no_grad():
        expected, found = large.pixels(view), enlarging.pixels(view[:, ::2, ::2])
        plain = [large(view[:, :, 32:].repeat(1, 1, 2, 1))[1]]
        plain.append(enlarging(view[:, ::2, 32:])[1])
    torch.testing.assert_close(*plain)
    unlike = (found - expected).abs().amax((0, 1, 2)) > 1e-3
    assert unlike.nonzero().flatten().tolist() == [31, 32]  # where dark meets light


def test_a_view_is_read_together_with_its_mirror_image_taken_from_nearer() -> None:
    torch.manual_seed(2)
    some = torch.randint(0, 256, (8, 64, 32, 3)).byte()
    branch = used(Branch((64, 32), 3, 1, stages=6), some)
    view = torch.randint(0, 256, (2, 64, 32, 3)).byte()
    near = view[:, 4:-4, 2:-2].flip(2)
    with torch.no_grad():
        one, other = branch(view), branch(near)
        features, logits = _both_ways(branch, view)
    torch.testing.assert_close(features, (one[0] + other[0]) / 2)
    torch.testing.assert_close(logits, (one[1] + other[1]) / 2)
    assert (one[1] - other[1]).abs().max() > 0.01


def test_the_shipped_weights_are_of_this_network_and_this_recipe(
    encoder: Encoder, exact: Path
) -> None:
    """Nobody changes what is trained, and ships what was trained before."""
    about = weights.metadata()
    assert about["parameters"] == sum(p.numel() for p in encoder.parameters())
    assert about["recipe"] == recipe.digest()
    shipped, ours = (
        {one.name: one.shape for one in onnxruntime.InferenceSession(path).get_inputs()}
        for path in (weights.NETWORK, exact)
    )
    assert shipped == ours


def test_folding_changes_no_answer(encoder: Encoder) -> None:
    with torch.no_grad():
        before, after = encoder(*_noise(3)), folded(encoder)(*_noise(3))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_rounding_to_eight_bits_keeps_the_answers_and_saves_space(
    exact: Path, tmp_path: Path
) -> None:
    rounded = tmp_path / "rounded.onnx"
    views = [view.numpy() for view in _noise(8)]
    level = logging.getLogger().level
    quantise(exact, rounded, *views)
    assert logging.getLogger().level == level
    before, after = (answers(file, *views)[1] for file in (exact, rounded))
    # Layers of random weights add to what rounding moves; training asks for 0.97.
    assert (before * after).sum(1).mean() > 0.5
    assert rounded.stat().st_size < exact.stat().st_size / 2
    left = {name for name in _precise(exact) if "/middle/" in name}
    assert len(left) == 2 * (1 + 2)  # of both branches: the stem, the first block


def test_an_export_that_answers_otherwise_is_refused(
    encoder: Encoder, exact: Path
) -> None:
    other = folded(encoder)
    torch.nn.init.constant_(other.photo.heads.bias, 1)
    with pytest.raises(ExportError):
        _difference(other, exact)
