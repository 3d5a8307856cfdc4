"""A model loads from a folder as it lies there, or says what it needs."""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from huggingface_hub import close_session, constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

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


@contextmanager
def hub(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[int]]]:
    """A server that answers whoever connects; its address, and who has connected."""
    asked: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, (_, port) = server.accept()
                    asked.append(port)
                    held.append(connection)
                    answer(connection)

        held: list[socket.socket] = []
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
    thread.join()
    for connection in held:
        connection.close()


def _says_nothing(_: socket.socket) -> None:
    """Not even an error."""


def _hangs_up(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.shutdown(socket.SHUT_RDWR)


def _asks_to_log_in(connection: socket.socket) -> None:
    connection.recv(65536)
    page = b"<html>Welcome to our network"
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page))
    connection.sendall(page)


@pytest.fixture
def own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The hub's cache, empty, and its client as it comes."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    set_client_factory(default_client_factory)
    yield tmp_path
    set_client_factory(default_client_factory)
    close_session()


@pytest.mark.parametrize("answer", [_says_nothing, _hangs_up, _asks_to_log_in])
def test_a_hub_that_does_not_answer_is_not_waited_for(
    own_hub: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[socket.socket], None],
) -> None:
    monkeypatch.setattr(weights, "HUB_SECONDS", 0.2)
    started = time.monotonic()
    with hub(answer) as (address, asked):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        with pytest.raises(BackendUnavailableError, match=r"had from.*hf download"):
            weights.folder_of("org/model", "main")
    assert asked
    assert time.monotonic() - started < 10


def test_what_was_downloaded_is_taken_without_asking_the_hub(
    own_hub: Path, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so a branch that has moved on changes nothing under an old version's name."""
    home = own_hub / "models--org--model"
    snapshot = shutil.copytree(model_folder("tiny_qwen3"), home / "snapshots" / "abc")
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("abc")
    with hub(_says_nothing) as (address, asked):
        monkeypatch.setattr(constants, "ENDPOINT", address)
        assert weights.folder_of("org/model", "main") == snapshot
    assert asked == []


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


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "preprocessor_config.json",
        "chat_template.json",
    ],
)
def test_a_damaged_file_is_named(copy: Copy, name: str) -> None:
    file = copy("tiny_qwen3") / name
    file.write_text("{")
    with pytest.raises(BackendUnavailableError, match=rf"{name} are damaged"):
        loading.load(settings_of(file.parent))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("model.safetensors.index.json", "{", "weights are damaged"),
        ("tokenizer.json", '{"version": "1.0"}', "tokenizer files are damaged"),
    ],
)
def test_what_only_a_library_understands_is_named_roughly(
    copy: Copy, name: str, text: str, says: str
) -> None:
    folder = copy("tiny_qwen3")
    if "index" in name:
        (folder / "model.safetensors").rename(folder / "model-1-of-1.safetensors")
    (folder / name).write_text(text)
    with pytest.raises(BackendUnavailableError, match=says):
        loading.load(settings_of(folder))


def test_a_setting_of_the_wrong_kind_is_told(copy: Copy) -> None:
    config = copy("tiny_qwen3") / "config.json"
    said = json.loads(config.read_text())
    edit(config, text_config=said["text_config"] | {"num_hidden_layers": "four"})
    with pytest.raises(BackendUnavailableError, match=r"config\.json are damaged"):
        loading.load(settings_of(config.parent))


def test_weights_that_are_quantized_already_are_refused(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    edit(folder / "config.json", quantization_config={"quant_method": "awq"})
    with pytest.raises(BackendUnavailableError, match=r"VLM_MODEL are quantized"):
        loading.load(settings_of(folder))


def test_a_large_model_runs_on_a_cpu_only_where_that_is_chosen(
    model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is lost would make `auto` a hundred times slower, silently."""
    monkeypatch.setattr(weights, "MOST_ON_CPU", 1_000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    folder = model_folder("tiny_qwen3")
    with pytest.raises(BackendUnavailableError, match="TWINBY_VLM_DEVICE=cpu"):
        loading.load(settings_of(folder, device="auto"))
    with pytest.raises(BackendUnavailableError, match="TWINBY_VLM_DEVICE=cpu"):
        loading.random("tiny_qwen3", settings_of(Path(), device="auto"))
    loading.load(settings_of(folder, device="cpu"))


@pytest.mark.parametrize(
    ("dtype", "converts"), [(torch.float32, False), (torch.bfloat16, True)]
)
def test_weights_of_another_precision_need_room_on_their_way_to_a_gpu(
    model_folder: ModelFolder,
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    *,
    converts: bool,
) -> None:
    folder, gpu = model_folder("tiny_qwen3"), torch.device("cuda")
    room = {"cuda": 10 * weights.parameters(folder), "cpu": 1_000}
    monkeypatch.setattr(weights, "free_bytes", lambda device: room[device.type])
    if converts:
        with pytest.raises(BackendUnavailableError, match="of memory on cpu"):
            weights.check_memory(folder, gpu, dtype)
        room["cpu"] = room["cuda"]
    weights.check_memory(folder, gpu, dtype)
    room["cuda"] = 1_000
    with pytest.raises(BackendUnavailableError, match="of memory on cuda"):
        weights.check_memory(folder, gpu, dtype)


def test_random_weights_need_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "free_bytes", lambda _: 1_000)
    with pytest.raises(BackendUnavailableError, match="of memory on cpu"):
        loading.random("tiny_qwen3", settings_of(Path()))


def test_loading_says_nothing(
    model_folder: ModelFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    loading.load(settings_of(model_folder("tiny_qwen2_5")))
    assert capfd.readouterr() == ("", "")


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
    with pytest.raises(BackendUnavailableError, match=r"No GPU.*_DEVICE=cpu"):
        loading.load(settings_of(model_folder("tiny_qwen3"), device="cuda"))


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = settings_of(Path(), device="auto")
    for there, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert loading.device_of(chosen).type == device


def test_another_architecture_says_which_there_are(copy: Copy) -> None:
    folder = copy("tiny_qwen3")
    edit(folder / "config.json", model_type="bert")
    with pytest.raises(BackendUnavailableError, match=r"'bert' for .*_MODEL.*next"):
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
