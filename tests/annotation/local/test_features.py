"""A photo's vector comes from the photo alone, and not from what pads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from torch.nn.functional import interpolate
from transformers import (
    AutoModel,
    CLIPConfig,
    CLIPModel,
    SiglipConfig,
    SiglipModel,
)

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import loading
from annotation.backends.local.features import photo_shares, squares
from annotation.backends.local.framing import Bucket
from tests.annotation.local.conftest import (
    CLIP_MEAN,
    CLIP_STD,
    HALF,
    MakeScorer,
    ModelFolder,
    noise,
    settings_of,
    whole,
)

pytestmark = pytest.mark.torch
SIDE = 32


@pytest.mark.parametrize(
    ("box", "shares"),
    [
        ((0, 0, 4, 4), [[1, 1], [1, 1]]),
        ((0, 1, 4, 2), [[0.5, 0.5], [0.5, 0.5]]),
        ((1, 0, 2, 4), [[0.5, 0.5], [0.5, 0.5]]),
        ((0, 0, 2, 1), [[0.5, 0], [0, 0]]),
        ((2, 3, 2, 1), [[0, 0], [0, 0.5]]),
    ],
)
def test_a_token_counts_as_far_as_it_is_photo(
    box: tuple[int, ...], shares: list[list[float]]
) -> None:
    found = photo_shares(torch.tensor([box]), Bucket(4, 4), (2, 2))
    assert found.view(2, 2).tolist() == shares


def test_features_are_the_mean_of_the_photos_own_tokens(scorer: MakeScorer) -> None:
    model = scorer("tiny_qwen2_5")
    pixels = noise(112, 112)
    left_half = np.array([[0, 0, 112, 56]])
    with torch.inference_mode():
        tokens = model._family.see(torch.from_numpy(pixels)).tokens.view(4, 4, -1)
    own = model.score(pixels, left_half).features[0]
    np.testing.assert_allclose(own, tokens[:, :2].mean((0, 1)), atol=1e-5)
    all_of_it = model.score(pixels, whole(pixels)).features[0]
    np.testing.assert_allclose(all_of_it, tokens.mean((0, 1)), atol=1e-5)


def test_a_square_around_the_photo_is_neither_cut_nor_bent() -> None:
    image = torch.zeros(1, 3, 8, 16)
    image[:, :, 2:6, 4:12] = torch.rand(3, 4, 8)
    box = torch.tensor([[2, 4, 4, 8]])
    square = squares(image, box, 8)
    assert torch.allclose(square[:, :, 2:6], image[:, :, 2:6, 4:12], atol=1e-6)
    assert square[:, :, [0, 1, 6, 7]].abs().max() == 0


def clip() -> CLIPModel:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = sizes | {"image_size": SIDE, "patch_size": 8}
    return CLIPModel(
        CLIPConfig(text_config=sizes | {"vocab_size": 99}, vision_config=vision)
    )


def siglip() -> SiglipModel:
    config = clip().config
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers")
    kept = {name: getattr(config.vision_config, name) for name in sizes}
    kept["num_attention_heads"] = 2
    vision = kept | {"image_size": SIDE, "patch_size": 8}
    return SiglipModel(
        SiglipConfig(text_config=kept | {"vocab_size": 99}, vision_config=vision)
    )


@pytest.mark.parametrize(
    ("make", "mean", "std"), [(clip, CLIP_MEAN, CLIP_STD), (siglip, HALF, HALF)]
)
def test_an_image_encoder_gives_the_vector_instead(
    make: Any,
    mean: list[float],
    std: list[float],
    tmp_path: Path,
    model_folder: ModelFolder,
) -> None:
    torch.manual_seed(0)
    make().save_pretrained(tmp_path)
    settings = settings_of(model_folder("tiny_llava"), features=str(tmp_path))
    pixels = noise(56, 56, photos=2)
    features = loading.load(settings).score(pixels, whole(pixels)).features
    colours = (torch.from_numpy(pixels) / 255 - torch.tensor(mean)) / torch.tensor(std)
    images = interpolate(colours.permute(0, 3, 1, 2), (SIDE, SIDE), mode="bilinear")
    encoder = AutoModel.from_pretrained(tmp_path).eval().vision_model
    with torch.no_grad():
        expected = encoder(images).pooler_output
    np.testing.assert_allclose(features, expected, atol=1e-4)
    assert np.abs(features[0] - features[1]).max() > 0.01


def test_an_encoder_of_another_kind_says_which_there_are(
    tmp_path: Path, model_folder: ModelFolder
) -> None:
    clip().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "vit"}))
    settings = settings_of(model_folder("tiny_llava"), features=str(tmp_path))
    with pytest.raises(BackendUnavailableError, match=r"'vit'.*clip, siglip"):
        loading.load(settings)
