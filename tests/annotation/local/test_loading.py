"""A model loads from a folder as it lies there, or says what it needs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from huggingface_hub import constants

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import architectures, loading, weights
from annotation.backends.local.scoring import Scorer
from tests.annotation.local.conftest import (
    MakeScorer,
    ModelFolder,
    noise,
    settings_of,
    whole,
)

pytestmark = pytest.mark.torch
Copy = Callable[[str], Path]


@pytest.fixture
def copy(tmp_path: Path, model_folder: ModelFolder) -> Copy:
    """A model's folder of one's own, to damage."""
    return lambda name: shutil.copytree(model_folder(name), tmp_path / name)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def masses(scorer: Scorer) -> Any:
    pixels = noise(*scorer.buckets[0])
    return scorer.score(pixels, whole(pixels)).mass


def test_it_describes_what_is_running(
    scorer: MakeScorer, model_folder: ModelFolder
) -> None:
    description = scorer("tiny_qwen2_5").description
    assert description.model == str(model_folder("tiny_qwen2_5"))
    assert description.parameters == weights.parameters(model_folder("tiny_qwen2_5"))
    assert (description.device, description.dtype) == ("cpu", "float32")
    assert (description.reading, description.quantization) == ("packed", "none")


def test_loading_writes_nothing_into_the_folder(copy: Copy) -> None:
    folder = copy("tiny_qwen3")

    def state() -> list[tuple[str, int, int]]:
        files = sorted(folder.rglob("*"))
        return [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]

    before = state()
    masses(loading.load(settings_of(folder)))
    assert state() == before


def test_a_folder_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BackendUnavailableError, match=r"nothing.*hf download"):
        loading.load(settings_of(Path("nobody/nothing")))


def test_a_path_that_is_no_hub_id_is_named_too() -> None:
    with pytest.raises(BackendUnavailableError, match="no folder here"):
        loading.load(settings_of(Path("/no/such/folder")))


def test_a_folder_without_weights_says_what_it_needs(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(BackendUnavailableError, match="safetensors"):
        loading.load(settings_of(folder))


@pytest.mark.parametrize("left", [4, 100, 200_000])
def test_damaged_weights_are_told_from_missing_ones(copy: Copy, left: int) -> None:
    file = copy("tiny_qwen3") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(BackendUnavailableError, match="damaged"):
        loading.load(settings_of(file.parent))


def test_missing_weights_are_not_made_up(copy: Copy) -> None:
    """Transformers would fill them with random numbers and only warn."""
    folder = copy("tiny_qwen3")
    edit_text = json.loads((folder / "config.json").read_text())
    edit_text["text_config"]["num_hidden_layers"] = 5
    edit_text["text_config"]["layer_types"] = ["full_attention"] * 5
    (folder / "config.json").write_text(json.dumps(edit_text))
    with pytest.raises(BackendUnavailableError, match="damaged or incomplete"):
        loading.load(settings_of(folder))


def test_too_little_memory_says_how_much_is_needed(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "free_bytes", lambda _: 1_000_000)
    with pytest.raises(BackendUnavailableError, match=r"GiB of memory on cpu.*free"):
        loading.load(settings_of(model_folder("tiny_qwen3")))


def test_memory_is_counted_by_the_precision_it_runs_in(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_folder("tiny_qwen3")
    numbers = weights.parameters(folder)
    monkeypatch.setattr(weights, "free_bytes", lambda _: 3 * numbers)
    weights.check_memory(folder, torch.device("cpu"), torch.bfloat16)
    with pytest.raises(BackendUnavailableError):
        weights.check_memory(folder, torch.device("cpu"), torch.float32)


def test_free_memory_is_less_than_all_there_is() -> None:
    free = weights.free_bytes(torch.device("cpu"))
    assert 2**24 < free < 2**50


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_missing_is_named(model_folder: ModelFolder) -> None:
    with pytest.raises(BackendUnavailableError, match="No GPU"):
        loading.load(settings_of(model_folder("tiny_qwen3"), device="cuda"))


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings_of(Path(), device="auto")
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert loading.device_of(chosen).type == device


def test_another_architecture_says_which_there_are(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    edit(folder / "config.json", model_type="bert")
    with pytest.raises(BackendUnavailableError, match=r"'bert'.*qwen2_5_vl.*next"):
        loading.load(settings_of(folder))


def test_code_that_comes_with_a_model_is_never_run(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    names = {"AutoConfig": "evil.C", "AutoModelForImageTextToText": "evil.M"}
    edit(folder / "config.json", auto_map=names)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.T", None]})
    masses(loading.load(settings_of(folder)))


def test_a_template_in_an_older_place_is_found(copy: Copy, scorer: MakeScorer) -> None:
    folder = copy("tiny_llava")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BackendUnavailableError, match="no chat template"):
        loading.load(settings_of(folder))
    file = folder / "chat_template.json"
    file.write_text(json.dumps({"chat_template": template}))
    found = masses(loading.load(settings_of(folder)))
    np.testing.assert_allclose(found, masses(scorer("tiny_llava")), rtol=1e-5)


@pytest.mark.parametrize("images", ["", "<|image_pad|><|image_pad|>"])
def test_a_template_without_exactly_one_image_is_refused(
    copy: Copy, images: str
) -> None:
    template = copy("tiny_qwen3") / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|image_pad|>", images))
    with pytest.raises(BackendUnavailableError, match="exactly one image"):
        loading.load(settings_of(template.parent))


def test_colours_are_those_that_the_folder_names(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    edit(folder / "preprocessor_config.json", image_mean=[0.0, 1.0, 0.2])
    assert loading.load(settings_of(folder)).padding == (0, 255, 51)
    (folder / "preprocessor_config.json").unlink()
    assert loading.load(settings_of(folder)).padding == (128, 128, 128)


def test_photos_smaller_than_a_window_are_refused(model_folder: ModelFolder) -> None:
    with pytest.raises(BackendUnavailableError, match="112 pixels"):
        loading.load(settings_of(model_folder("tiny_qwen2_5"), image_side=100))


def test_quantization_says_what_to_install(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(BackendUnavailableError, match="pip install torchao"):
        loading.load(settings_of(model_folder("tiny_qwen3"), quantization="int8"))


def test_eight_bit_floats_need_a_newer_gpu(model_folder: ModelFolder) -> None:
    with pytest.raises(BackendUnavailableError, match=r"compute capability 8\.9"):
        loading.load(settings_of(model_folder("tiny_qwen3"), quantization="fp8"))


def test_eight_bits_say_nearly_the_same(
    model_folder: ModelFolder, scorer: MakeScorer
) -> None:
    pytest.importorskip("torchao", reason="quantization is optional")
    small = loading.load(settings_of(model_folder("tiny_qwen2_5"), quantization="int8"))
    exact = masses(scorer("tiny_qwen2_5"))
    difference = np.abs(np.log(masses(small)) - np.log(exact))
    assert 0 < difference.max() < 0.5


@pytest.mark.parametrize("name", ["tiny_qwen2_5", "tiny_qwen3", "tiny_llava"])
def test_random_weights_read_like_any_other(name: str) -> None:
    model = loading.random(name, settings_of(Path()))
    assert model.description.model == name
    assert np.isfinite(masses(model)).all()


def test_an_unknown_architecture_says_which_there_are() -> None:
    with pytest.raises(BackendUnavailableError, match="qwen2_5_vl_7b"):
        loading.random("gpt", settings_of(Path()))


@pytest.mark.parametrize(
    ("name", "billions"),
    [("qwen2_5_vl_7b", 8.292), ("qwen3_vl_2b", 2.128), ("llava_next_7b", 7.567)],
)
def test_true_sizes_are_those_of_the_published_weights(
    name: str, billions: float
) -> None:
    model, _ = architectures.build(
        name, device=torch.device("meta"), dtype=torch.bfloat16
    )
    numbers = sum(p.numel() for p in model.parameters())
    assert numbers / 1e9 == pytest.approx(billions, abs=0.001)
