"""Every way of reading that is silently wrong, put back, is noticed.

Each trap is a mistake that raises nothing: numbers come out, and they are wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoTokenizer

from annotation.backends.local import loading, packing, sequential
from annotation.backends.local.asking import Prompt, asked
from annotation.backends.local.families import Family, Seen, packable
from annotation.backends.local.framing import Bucket
from annotation.backends.local.llava import Llava
from annotation.backends.local.packing import Pack, PackedReader, block_mask, pack
from annotation.backends.local.qwen import Qwen
from annotation.backends.local.sequential import SequentialReader, repeated
from annotation.prompt import QUESTIONS
from tests.annotation.local.conftest import (
    MakeReference,
    ModelFolder,
    noise,
    settings_of,
)
from tests.annotation.local.reference import Reference

pytestmark = pytest.mark.torch
SOME = [QUESTIONS[i] for i in (0, 11, 12, 13, 40, 68)]
EXACT = 1e-4
# The smallest mistake of any trap moves logits more than a hundred times that.
WRONG = 1e-2
PACKED = ("tiny_qwen2_5", "tiny_qwen3", "tiny_llava")
QWENS = ("tiny_qwen2_5", "tiny_qwen3")


@dataclass
class Parts:
    """One model in its parts, for a test to break."""

    model: Any
    family: Family
    prompt: Prompt
    truth: Tensor
    pixels: Tensor

    def error(self, reader: Any) -> float:
        """How far this reader's logits are from one prompt per question."""
        bucket = Bucket(*self.pixels.shape[1:3])
        with torch.no_grad():
            seen = self.family.see(self.pixels)
            logits = self.family.logits(reader.answers(seen, bucket))
        return float((logits[0] - self.truth).abs().max())

    def packed_error(self) -> float:
        with torch.no_grad():
            return self.error(PackedReader(self.family, self.prompt))


MakeParts = Callable[..., Parts]
Truths = dict[str, tuple[Tensor, Tensor]]


@pytest.fixture(scope="session")
def truths(reference: MakeReference) -> Truths:
    """A photo, and what follows SOME of the questions about it, by model."""
    found = {}
    for name in (*PACKED, "tiny_qwen3_5"):
        side = {"tiny_llava": 56, "tiny_qwen2_5": 112}.get(name, 96)
        pixels = noise(side, side, seed=7)
        truth = reference(name).logits(pixels[0], SOME)
        found[name] = torch.from_numpy(pixels), truth
    return found


@pytest.fixture(scope="session")
def untouched(model_folder: ModelFolder) -> Callable[[str], tuple[Any, Prompt]]:
    """A model as it was loaded, and SOME questions in its tokens."""

    @cache
    def made(name: str) -> tuple[Any, Prompt]:
        folder = model_folder(name)
        model: Any = AutoModelForImageTextToText.from_pretrained(folder)
        image = model.config.image_token_id
        tokenizer = AutoTokenizer.from_pretrained(folder)
        return model.eval(), asked(tokenizer, image_token=image, questions=SOME)

    return made


@pytest.fixture
def parts(
    untouched: Callable[[str], tuple[Any, Prompt]],
    truths: Truths,
    model_folder: ModelFolder,
) -> MakeParts:
    """A copy of a model, so that what a test breaks stays broken only there."""

    def made(name: str) -> Parts:
        model, prompt = deepcopy(untouched(name))
        colours = loading._colours(model_folder(name), model.config.model_type)
        family = (Llava if name == "tiny_llava" else Qwen)(model, *colours)
        pixels, truth = truths[name]
        return Parts(model, family, prompt, truth, pixels)

    return made


@pytest.mark.parametrize("name", PACKED)
def test_the_packed_way_is_exact(name: str, parts: MakeParts) -> None:
    assert parts(name).packed_error() < EXACT


@pytest.mark.parametrize("name", [*PACKED, "tiny_qwen3_5"])
def test_the_sequential_way_is_exact(name: str, parts: MakeParts) -> None:
    made = parts(name)
    with torch.no_grad():
        assert made.error(SequentialReader(made.family, made.prompt)) < EXACT


def test_few_questions_at_once_get_the_same_answers(
    parts: MakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = []
    counted = sequential.repeated

    def counting(cache: Any, chosen: Tensor) -> Any:
        rows.append(len(chosen))
        return counted(cache, chosen)

    monkeypatch.setattr(sequential, "MOST_ROWS", 1)
    monkeypatch.setattr(sequential, "repeated", counting)
    made = parts("tiny_qwen3_5")
    with torch.no_grad():
        assert made.error(SequentialReader(made.family, made.prompt)) < EXACT
    assert set(rows) == {1}


@pytest.mark.parametrize("name", [*PACKED, "tiny_qwen3_5"])
def test_another_photo_gives_other_answers(
    name: str, parts: MakeParts, reference: MakeReference
) -> None:
    made = parts(name)
    made.truth = reference(name).logits(255 - made.pixels[0].numpy(), SOME)
    with torch.no_grad():
        assert made.error(SequentialReader(made.family, made.prompt)) > WRONG


@pytest.mark.parametrize("name", PACKED)
def test_trap_the_photo_is_swallowed(name: str, parts: MakeParts) -> None:
    """`mm_encoder_outputs=` is ignored by models that do not know it."""
    made = parts(name)
    see = made.family.see

    def swallowed(pixels: Tensor) -> Seen:
        seen = see(pixels)
        ids = [made.family.image_token] * seen.tokens.shape[1]
        return Seen(made.family.embed(ids))

    made.family.see = swallowed  # type: ignore[method-assign]
    assert made.packed_error() > WRONG


@pytest.mark.parametrize("name", [*QWENS, "tiny_qwen3_5"])
def test_trap_positions_come_from_another_photo(name: str, parts: MakeParts) -> None:
    """Without given positions, a model uses those of the photo that it saw last."""
    made = parts(name)
    made.model.model.rope_deltas = torch.tensor([[-40]])
    with torch.no_grad():
        reader = SequentialReader(made.family, made.prompt)
    assert made.error(reader) < EXACT  # given positions depend on nothing
    language = made.family.language

    def stateful(**given: Any) -> Any:
        read = given["past_key_values"].get_seq_length()
        if read <= len(made.prompt.head):
            return language(**given)
        del given["position_ids"]
        return made.model.model(**given)

    made.family.language = _Calls(language, stateful)
    assert made.error(reader) > WRONG


class _Calls:
    """A language model whose calls go elsewhere."""

    def __init__(self, language: Any, call: Callable[..., Any]) -> None:
        self._language, self._call = language, call

    def __call__(self, **given: Any) -> Any:
        return self._call(**given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._language, name)


@pytest.mark.parametrize("name", QWENS)
def test_trap_text_goes_on_at_the_caches_length(name: str, parts: MakeParts) -> None:
    """A photo of N tokens takes only as many positions as its longer side has."""
    made = parts(name)
    places = made.family.image_positions

    def by_length(bucket: Bucket, start: int) -> tuple[Tensor, int]:
        return places(bucket, start)[0], start + made.family.image_tokens(bucket)

    made.family.image_positions = by_length  # type: ignore[method-assign]
    assert made.packed_error() > WRONG


@pytest.mark.parametrize("name", QWENS)
def test_trap_image_tokens_stand_in_a_row(name: str, parts: MakeParts) -> None:
    """What becomes of a photo when `mm_token_type_ids` is left out."""
    made = parts(name)

    def in_a_row(bucket: Bucket, start: int) -> tuple[Tensor, int]:
        free = start + made.family.image_tokens(bucket)
        return torch.arange(start, free).expand(3, -1), free

    made.family.image_positions = in_a_row  # type: ignore[method-assign]
    assert made.packed_error() > WRONG


def _seeing_each_other(questions: Any) -> Pack:
    packed = pack(questions)
    return replace(packed, sees=np.tri(len(packed.sees), dtype=bool))


def _one_after_the_other(questions: Any) -> Pack:
    packed = pack(questions)
    return replace(packed, depths=np.arange(len(packed.depths)))


def _ending_one_token_early(questions: Any) -> Pack:
    packed = pack(questions)
    return replace(packed, ends=packed.ends - 1)


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize(
    "mistake", [_seeing_each_other, _one_after_the_other, _ending_one_token_early]
)
def test_trap_questions_are_packed_wrongly(
    name: str,
    mistake: Callable[[Any], Pack],
    parts: MakeParts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seeing each other, positions not begun anew, the answer of another token."""
    monkeypatch.setattr(packing, "pack", mistake)
    assert parts(name).packed_error() > WRONG


@pytest.mark.parametrize("name", PACKED)
def test_trap_a_mask_of_booleans_is_added(
    name: str, parts: MakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some kernels take booleans, others add them to the scores."""
    monkeypatch.setattr(packing, "additive", lambda sees: sees)
    assert parts(name).packed_error() > WRONG


@pytest.mark.parametrize("name", PACKED)
def test_the_mask_is_right_for_every_kernel(name: str, parts: MakeParts) -> None:
    made = parts(name)
    made.family.language.config._attn_implementation = "eager"
    assert made.packed_error() < EXACT


def test_trap_a_token_that_sees_nothing_is_no_number(parts: MakeParts) -> None:
    """Padding rows would be such; there are none: every token sees itself."""
    for name in PACKED:
        reader = PackedReader(parts(name).family, parts(name).prompt)
        mask = reader._layout(Bucket(112, 112)).mask[0, 0]
        assert mask.diagonal(mask.shape[1] - mask.shape[0]).eq(0).all()


def test_trap_linear_attention_is_packed(
    parts: MakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No mask hides from linear attention what it has read: later questions change."""
    made = parts("tiny_qwen3_5")
    with torch.no_grad():
        reader = SequentialReader(made.family, made.prompt)
    monkeypatch.setattr(reader, "answers", _packed_behind(reader, made))
    assert made.error(reader) > WRONG


def _packed_behind(reader: SequentialReader, made: Parts) -> Callable[..., Tensor]:
    """All questions in one pass behind the photo's state, under the block mask."""

    def answers(seen: Seen, bucket: Bucket) -> Tensor:
        read, free = reader._read(seen, bucket)
        packed = pack(made.prompt.questions)
        mask = block_mask(read.get_seq_length(), 0, packed.sees)
        depths = torch.from_numpy(packed.depths) + free
        hidden: Tensor = made.family.language(
            inputs_embeds=made.family.embed(packed.tokens.tolist()),
            attention_mask=packing.additive(mask),
            position_ids=made.family.position_ids(depths.expand(3, -1)),
            past_key_values=read,
        ).last_hidden_state
        return hidden[:, packed.ends]

    return answers


def test_the_same_packing_is_right_where_attention_is_full(parts: MakeParts) -> None:
    """So what the hybrid gets wrong is not the test's mistake."""
    made = parts("tiny_qwen3")
    with torch.no_grad():
        reader = SequentialReader(made.family, made.prompt)
    reader.answers = _packed_behind(reader, made)  # type: ignore[method-assign]
    assert made.error(reader) < EXACT


@pytest.mark.parametrize("name", ["tiny_qwen3_5"])
def test_trap_states_are_shared_and_not_copied(
    name: str, parts: MakeParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking changes a state: the next group of questions must not find it changed."""
    made = parts(name)
    with torch.no_grad():
        reader = SequentialReader(made.family, made.prompt)
        made.error(reader)
        assert made.error(reader) < EXACT
    monkeypatch.setattr(sequential, "repeated", _moved)
    made.error(reader)
    assert made.error(reader) > WRONG


def _moved(cache: Any, rows: Tensor) -> Any:
    if len(rows) > 1:
        return repeated(cache, rows)
    cache.reorder_cache(rows)
    return cache


def test_hybrids_take_the_slower_way(model_folder: ModelFolder) -> None:
    model = loading.load(settings_of(model_folder("tiny_qwen3_5")))
    assert model.description.reading == "sequential"


@pytest.mark.parametrize(
    ("text", "may_be_packed"),
    [
        ({"layer_types": ["full_attention"] * 3}, True),
        ({"layer_types": ["full_attention", "linear_attention"]}, False),
        ({"layer_types": ["full_attention", "conv"]}, False),
        ({"layer_types": ["full_attention"], "sliding_window": 64}, True),
        ({"layer_types": ["sliding_attention"], "sliding_window": 64}, False),
        ({"layer_types": ["sliding_attention"], "sliding_window": 1000}, True),
        ({"sliding_window": 64}, False),
        ({"sliding_window": 1000}, True),
        ({"sliding_window": None}, True),
        ({}, True),
    ],
)
def test_only_full_attention_is_packed(
    text: dict[str, Any], *, may_be_packed: bool
) -> None:
    config = type("TextConfig", (), text)
    assert packable(config, 1000) is may_be_packed


def test_trap_a_window_shorter_than_the_prompt(
    tmp_path: Path, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A packed mask would show what the model must have forgotten."""
    folder = shutil.copytree(model_folder("tiny_llava"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder)
    head = len(asked(tokenizer, image_token=config["image_token_index"]).head)
    config["text_config"]["sliding_window"] = head + 8
    (folder / "config.json").write_text(json.dumps(config))
    pixels = noise(56, 56, seed=7)
    truth = Reference(folder).logits(pixels[0], SOME)
    assert _error(folder, pixels, truth) < EXACT
    monkeypatch.setattr(loading, "packable", lambda *_: True)
    assert _error(folder, pixels, truth) > WRONG


def _error(folder: Path, pixels: Any, truth: Tensor) -> float:
    """How far the folder's model is from `truth` about SOME."""
    model = loading.load(settings_of(folder))
    with torch.no_grad():
        seen = model._family.see(torch.from_numpy(pixels))
        hidden = model._reader.answers(seen, Bucket(56, 56))
        logits = model._family.logits(hidden)[0]
    return float((logits[[QUESTIONS.index(q) for q in SOME]] - truth).abs().max())
