"""The quick vision tower sees what the original sees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from torch import Tensor
from torch.nn import functional

from annotation.backends.local import vision
from annotation.backends.local.vision import Colours, StillPatches, patches
from tests.annotation.local.conftest import MakeReference, MakeScorer, noise

pytestmark = pytest.mark.torch
QWENS = [("tiny_qwen2_5", 224), ("tiny_qwen3", 112), ("tiny_qwen3_5", 112)]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def original(reference: Any, photos: Any) -> tuple[Tensor, list[Tensor]]:
    """Tokens of all photos one after the other, and DeepStack's, by transformers."""
    pixels, grids = zip(*(reference.patches(photo) for photo in photos), strict=True)
    seen = reference.model.model.visual(torch.cat(pixels), grid_thw=torch.cat(grids))
    return seen.pooler_output, getattr(seen, "deepstack_features", None) or []


@pytest.mark.parametrize(("name", "side"), QWENS)
def test_the_quick_tower_equals_the_original(
    name: str, side: int, scorer: MakeScorer, reference: MakeReference
) -> None:
    model = scorer(name, image_side=side)
    for bucket in model.buckets:
        photos = noise(*bucket, photos=2, seed=3)
        seen = model._family.see(torch.from_numpy(photos))
        tokens, deep = original(reference(name), photos)
        assert (seen.tokens.flatten(0, 1) - tokens).abs().max() < 1e-5
        for mine, theirs in zip(seen.deep, deep, strict=True):
            assert (mine.flatten(0, 1) - theirs).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "side"), QWENS)
def test_own_patches_equal_the_processors(
    name: str, side: int, scorer: MakeScorer, reference: MakeReference
) -> None:
    model = scorer(name, image_side=side)
    (photo,) = noise(*model.buckets[-1])
    theirs, _ = reference(name).patches(photo)
    family = reference(name).model.config.vision_config
    colours = Colours(reference(name).mean, reference(name).std)
    mine = patches(
        colours(torch.from_numpy(photo[None])),
        patch=family.patch_size,
        merge=family.spatial_merge_size,
    )
    both = theirs.view(len(theirs), 3, 2, -1)
    for frame in (both[:, :, 0], both[:, :, 1]):
        assert (mine.view(len(mine), 3, -1) - frame).abs().max() < 1e-5


@pytest.mark.parametrize("bias", [False, True])
def test_one_matrix_equals_the_convolution_over_two_equal_frames(*, bias: bool) -> None:
    convolution = torch.nn.Conv3d(3, 8, (2, 4, 4), stride=(2, 4, 4), bias=bias)
    cut = torch.randn(5, 3, 4, 4)
    twice = torch.stack([cut, cut], 2)
    mine = StillPatches(convolution)(cut.flatten(1))
    assert (mine - convolution(twice).flatten(1)).abs().max() < 1e-5


def test_attention_is_one_call_per_layer(
    scorer: MakeScorer, reference: MakeReference, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = scorer("tiny_qwen2_5", image_side=224)
    calls = []
    attend = functional.scaled_dot_product_attention

    def counted(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        return attend(*args, **kwargs)

    monkeypatch.setattr(vision, "scaled_dot_product_attention", counted)
    monkeypatch.setattr(functional, "scaled_dot_product_attention", counted)
    photos = noise(224, 224, photos=4)
    original(reference("tiny_qwen2_5"), photos)
    # Two layers with a call for each of 4 photos, two for each of their 4 windows.
    assert len(calls) == 2 * 4 + 2 * 16
    calls.clear()
    quick._family.see(torch.from_numpy(photos))
    assert len(calls) == 4


@pytest.mark.parametrize("name", ["tiny_qwen2_5", "tiny_qwen3"])
def test_plans_are_kept_for_the_most_photos_alone(
    name: str, scorer: MakeScorer
) -> None:
    family: Any = scorer(name, image_side=224)._family
    bucket = scorer(name, image_side=224).buckets[1]
    family._plans.clear()
    for photos in (2, 5, 1, 3, 5):
        given, anew = family._plan(bucket, photos), family._planned(bucket, photos)
        assert given.keys() == anew.keys()
        for part, expected in anew.items():
            np.testing.assert_array_equal(given[part], expected)
    assert [most for most, _ in family._plans.values()] == [5]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("tiny_qwen2_5", "Qwen2_5_VLRMSNorm"),
        ("tiny_qwen3", "Qwen3VLTextRMSNorm"),
        ("tiny_llava", "MistralRMSNorm"),
    ],
)
def test_norms_are_torchs_own_and_give_the_same(
    name: str, kind: str, scorer: MakeScorer, reference: MakeReference
) -> None:
    torch.manual_seed(0)
    theirs = dict(reference(name).model.named_modules())
    theirs = {path: m for path, m in theirs.items() if type(m).__name__ == kind}
    language: Any = scorer(name)._family.language
    mine = dict(language.named_modules(prefix="model.language_model"))
    used = [path for path, m in mine.items() if isinstance(m, torch.nn.RMSNorm)]
    assert not [path for path, m in mine.items() if type(m).__name__ == kind]
    assert len(used) > 2 * len(language.layers)
    for path in used:
        states = 3 * torch.randn(7, len(mine[path].weight))
        with torch.no_grad():
            assert (mine[path](states) - theirs[path](states)).abs().max() < 1e-6


def test_norms_of_another_formula_are_left_alone(scorer: MakeScorer) -> None:
    """Qwen3.5's add 1 to the weight."""
    family = scorer("tiny_qwen3_5")._family
    assert not [m for m in family.language.modules() if type(m) is torch.nn.RMSNorm]


def test_unequal_segments_are_still_right(
    scorer: MakeScorer, reference: MakeReference
) -> None:
    photos = [noise(56, 84)[0], noise(140, 112)[0]]
    made = [reference("tiny_qwen2_5").patches(photo) for photo in photos]
    both_frames = torch.cat([pixels for pixels, _ in made])
    one_frame = both_frames.view(len(both_frames), 3, 2, -1)[:, :, 0].flatten(1)
    grid = torch.cat([grid for _, grid in made])
    family: Any = scorer("tiny_qwen2_5")._family
    mine = family._visual(one_frame, grid_thw=grid).pooler_output
    assert (mine - original(reference("tiny_qwen2_5"), photos)[0]).abs().max() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_unequal_segments_take_one_kernel_on_a_gpu() -> None:
    states = [torch.randn(1, 2, 20, 16, device="cuda").bfloat16() for _ in range(3)]
    bounds = torch.tensor([0, 5, 20], device="cuda", dtype=torch.int32)
    scaling = 0.25
    on_gpu, _ = vision.segmented(
        torch.nn.Identity(),
        *states,
        scaling=scaling,
        cu_seq_lens_q=bounds,
        max_length_q=15,
    )
    query, key, value = (state.cpu().float() for state in states)
    on_cpu = vision._ragged(query, key, value, [0, 5, 20], scaling)
    assert (on_gpu.cpu().float() - on_cpu).abs().max() < 0.02


@pytest.mark.parametrize(
    ("name", "side", "buckets"),
    [
        ("tiny_qwen2_5", 448, "448x448 448x336 336x448 448x224 224x448"),
        ("tiny_qwen3", 448, "448x448 448x352 352x448 448x224 224x448"),
        ("tiny_qwen2_5", 150, "112x112"),
        ("tiny_llava", 448, "56x56"),
    ],
)
def test_buckets_are_multiples_of_what_a_model_looks_at_together(
    name: str, side: int, buckets: str, scorer: MakeScorer
) -> None:
    framed = scorer(name)._family.buckets(side)
    assert " ".join(f"{b.height}x{b.width}" for b in framed) == buckets


def test_padding_becomes_zeros(scorer: MakeScorer) -> None:
    model = scorer("tiny_qwen2_5")
    padding = np.full((1, 4, 4, 3), model.padding, np.uint8)
    family: Any = model._family
    seen = family._colours(torch.from_numpy(padding))
    assert seen.abs().max() < 0.01
