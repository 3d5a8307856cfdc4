"""Tiny random models, saved in folders as a hub would have them, with tokenizers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from annotation.backends.local.configuration import LocalConfig

# The usual random weights give nearly equal logits: enlarged, so that mistakes show.
LOUDER = 6.0
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
HALF = [0.5, 0.5, 0.5]
COLOURS = {
    "tiny_qwen2_5": (CLIP_MEAN, CLIP_STD),
    "tiny_llava": (CLIP_MEAN, CLIP_STD),
    "tiny_qwen3": (HALF, HALF),
    "tiny_qwen3_5": (HALF, HALF),
}

if TYPE_CHECKING:
    from annotation.backends.local.scoring import Scorer
    from tests.annotation.local.reference import Reference

ModelFolder = Callable[[str], Path]
MakeScorer = Callable[..., "Scorer"]
MakeReference = Callable[[str], "Reference"]


def settings_of(folder: Path, **changes: Any) -> LocalConfig:
    """A tiny model's settings on the CPU, with photos of 112 pixels or what is said."""
    plain: dict[str, Any] = {
        "model": str(folder),
        "revision": "main",
        "device": "cpu",
        "quantization": "none",
        "image_side": 112,
    }
    return LocalConfig(**(plain | changes))


def save_tiny(name: str, folder: Path) -> Path:
    """Save a random model of this tiny architecture, as it would be downloaded."""
    import torch

    from annotation.backends.local import architectures

    torch.manual_seed(0)
    model, tokenizer = architectures.build(
        name, device=torch.device("cpu"), dtype=torch.float32
    )
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(LOUDER)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    mean, std = COLOURS[name]
    colours = {"image_mean": mean, "image_std": std}
    (folder / "preprocessor_config.json").write_text(json.dumps(colours))
    return folder


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """The folder of a tiny model by the name of its architecture, made once."""

    @cache
    def made(name: str) -> Path:
        return save_tiny(name, tmp_path_factory.mktemp(name))

    return made


@pytest.fixture(scope="session")
def scorer(model_folder: ModelFolder) -> MakeScorer:
    """A tiny model loaded as the product loads it, once for each of its settings."""

    @cache
    def loaded(name: str, **changes: Any) -> Scorer:
        from annotation.backends.local import loading

        return loading.load(settings_of(model_folder(name), **changes))

    return loaded


@pytest.fixture(scope="session")
def reference(model_folder: ModelFolder) -> MakeReference:
    """The slow way through the same weights."""

    @cache
    def loaded(name: str) -> Reference:
        from tests.annotation.local.reference import Reference

        return Reference(model_folder(name))

    return loaded


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models gain nothing from threads, and threads on busy cores wait."""
    torch = pytest.importorskip("torch", reason="needs requirements/vlm.txt")
    torch.set_num_threads(1)


def noise(
    height: int, width: int, *, photos: int = 1, seed: int = 0
) -> npt.NDArray[np.uint8]:
    """Photos of coloured blocks and noise, (photos, height, width, 3)."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 156, (photos, height // 16 + 1, width // 16 + 1, 3))
    large = blocks.repeat(16, 1).repeat(16, 2)[:, :height, :width]
    return (large + rng.integers(0, 100, large.shape)).astype(np.uint8)


def whole(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Boxes of photos that fill their bucket."""
    photos, height, width, _ = pixels.shape
    return np.array([[0, 0, height, width]] * photos)
