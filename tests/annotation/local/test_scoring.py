"""The quick ways of reading equal one plain prompt per question."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="local models need requirements/vlm.txt")

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from annotation.answers import Answer, sight
from annotation.backends.local import loading, scoring
from annotation.backends.local.framing import Bucket
from annotation.backends.local.scoring import Scorer, Scores
from annotation.prompt import QUESTIONS
from annotation.schema import problems
from tests.annotation.local.conftest import (
    MakeReference,
    MakeScorer,
    ModelFolder,
    noise,
    settings_of,
    whole,
)

pytestmark = pytest.mark.torch
# Questions of every kind, some of which begin alike: all 69 take seconds.
SOME = tuple(range(0, len(QUESTIONS), 17))
ALL = tuple(range(len(QUESTIONS)))
OTHER_BUCKETS = [
    ("tiny_qwen2_5", 224, Bucket(224, 112)),
    ("tiny_qwen2_5", 224, Bucket(112, 224)),
    ("tiny_qwen3", 112, Bucket(96, 64)),
    ("tiny_qwen3_5", 112, Bucket(64, 96)),
]


def scored(scorer: Scorer, pixels: Any) -> Scores:
    return scorer.score(pixels, whole(pixels))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("tiny_qwen2_5", ALL),
        ("tiny_qwen3", ALL[::7]),
        ("tiny_qwen3_5", ALL[::7]),
        ("tiny_llava", ALL[::7]),
    ],
)
def test_every_question_is_answered_as_if_asked_alone(
    name: str, asked: tuple[int, ...], scorer: MakeScorer, reference: MakeReference
) -> None:
    pixels = noise(*scorer(name).buckets[0], seed=1)
    scores = scored(scorer(name), pixels)
    alone = reference(name).logits(pixels[0], [QUESTIONS[i] for i in asked])
    for number, logits in zip(asked, alone, strict=True):
        options = reference(name).options(logits, QUESTIONS[number]).numpy()
        np.testing.assert_allclose(scores.mass[0, number], options.sum(), rtol=1e-3)
        np.testing.assert_allclose(
            scores.probabilities[number][0], options / options.sum(), atol=1e-4
        )


@pytest.mark.parametrize(("name", "side", "bucket"), OTHER_BUCKETS)
def test_photos_of_one_bucket_are_strangers_to_each_other(
    name: str,
    side: int,
    bucket: Bucket,
    scorer: MakeScorer,
    reference: MakeReference,
) -> None:
    model = scorer(name, image_side=side)
    assert bucket in model.buckets
    pixels = noise(*bucket, photos=3, seed=2)
    last = reference(name).logits(pixels[2], [QUESTIONS[i] for i in SOME])
    logits = all_logits(model, pixels)[:, SOME]
    assert (logits[2] - last).abs().max() < 1e-4
    assert (logits[1] - last).abs().max() > 1e-2


def all_logits(scorer: Scorer, pixels: Any) -> torch.Tensor:
    """What the model's parts make of photos: (B, questions, vocabulary)."""
    bucket = Bucket(*pixels.shape[1:3])
    with torch.inference_mode():
        seen = scorer._family.see(torch.from_numpy(pixels))
        logits: torch.Tensor = scorer._family.logits(
            scorer._reader.answers(seen, bucket)
        )
    return logits


def test_scores_make_a_reading_that_obeys_the_schema(scorer: MakeScorer) -> None:
    pixels = noise(112, 112, photos=2)
    scores = scored(scorer("tiny_qwen2_5"), pixels)
    assert [p.shape for p in scores.probabilities] == [
        (2, len(q.options)) for q in QUESTIONS
    ]
    assert scores.mass.shape == (2, len(QUESTIONS))
    assert scores.features.dtype == scores.mass.dtype == np.float32
    answers = [Answer(p[0].tolist()) for p in scores.probabilities]
    assert problems(sight(answers).attributes) == []


def test_a_pinned_tensor_is_as_good_as_an_array(scorer: MakeScorer) -> None:
    pixels = noise(112, 112)
    model = scorer("tiny_qwen2_5")
    from_tensor = model.score(torch.from_numpy(pixels), whole(pixels))
    np.testing.assert_array_equal(from_tensor.mass, scored(model, pixels).mass)


def test_spellings_of_one_option_are_added(scorer: MakeScorer) -> None:
    choices = scorer("tiny_qwen2_5")._choices
    words = (choices._words[0, 0], ~choices._absent[0, 0])
    assert words[1].sum() == 2  # "A" and " A"
    logits = torch.zeros(1, len(QUESTIONS), 2048)
    logits[0, 0, words[0][0]] = logits[0, 0, words[0][1]] = 9.0
    likely, mass = choices.likely(lambda rows: rows, logits)
    assert likely[0, 0, 0] == pytest.approx(1, abs=1e-2)
    assert mass[0, 0] == pytest.approx(
        (2 * np.exp(9.0) + 16) / (2 * np.exp(9.0) + 2046), abs=1e-4
    )


def test_large_batches_of_logits_are_taken_in_parts(
    scorer: MakeScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(112, 112, photos=2)
    at_once = scored(scorer("tiny_qwen2_5"), pixels)
    monkeypatch.setattr(scoring, "LOGITS_ROWS", 50)
    in_parts = scored(scorer("tiny_qwen2_5"), pixels)
    np.testing.assert_allclose(in_parts.mass, at_once.mass, rtol=1e-5)


@pytest.mark.parametrize("name", ["tiny_qwen2_5", "tiny_qwen3_5"])
def test_two_threads_get_what_one_would(name: str, scorer: MakeScorer) -> None:
    model = scorer(name)
    batches = [noise(*model.buckets[0], seed=seed) for seed in range(4)]
    alone = [scored(model, pixels) for pixels in batches]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda pixels: scored(model, pixels), batches))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.mass, other.mass, rtol=1e-4)
        np.testing.assert_allclose(one.features, other.features, atol=1e-4)


def test_half_precision_says_nearly_the_same(
    scorer: MakeScorer, model_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = scorer("tiny_qwen2_5")
    monkeypatch.setattr(loading, "dtype_on", lambda _: torch.bfloat16)
    half = loading.load(settings_of(model_folder("tiny_qwen2_5")))
    assert half.description.dtype == "bfloat16"
    pixels = noise(112, 112, photos=2, seed=4)
    exact, rough = scored(full, pixels), scored(half, pixels)
    for one, other in zip(exact.probabilities, rough.probabilities, strict=True):
        assert np.abs(one - other).max() < 0.05
    assert np.abs(exact.mass - rough.mass).max() > 0


def test_a_model_goes_on_after_it_ran_out_of_memory(
    scorer: MakeScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pixels = scorer("tiny_qwen2_5"), noise(112, 112)

    def too_large(_: Any) -> None:
        raise torch.OutOfMemoryError

    with monkeypatch.context() as once:
        once.setattr(model._family, "see", too_large)
        with pytest.raises(torch.OutOfMemoryError):
            scored(model, pixels)
    assert np.isfinite(scored(model, pixels).mass).all()


def test_the_work_of_a_batch_can_be_counted(scorer: MakeScorer) -> None:
    model = scorer("tiny_qwen2_5")
    flops = []
    for photos in (1, 3):
        pixels = noise(112, 112, photos=photos)
        with FlopCounterMode(display=False) as counter:
            tokens = scored(model, pixels).tokens
        flops.append(counter.get_total_flops())
    assert flops[1] == pytest.approx(3 * flops[0], rel=0.01)
    language = sum(p.numel() for p in model._family.language.layers.parameters())
    assert flops[0] > 2 * tokens * language


def test_the_language_model_is_one_graph_for_a_compiler(
    scorer: MakeScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pixels = scorer("tiny_qwen2_5"), noise(112, 112, photos=2)
    plain = scored(model, pixels)
    compiled = torch.compile(model._family.language, backend="eager", fullgraph=True)
    monkeypatch.setattr(model._family, "language", compiled)
    np.testing.assert_allclose(scored(model, pixels).mass, plain.mass, rtol=1e-5)


class Waits(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Operations that would make the host wait for a GPU."""

    NAMES = ("_local_scalar_dense", "nonzero", "masked_select", "unique")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        if any(name in str(func) for name in self.NAMES):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["tiny_qwen2_5", "tiny_qwen3", "tiny_llava"])
def test_a_pass_never_waits_for_the_device(name: str, scorer: MakeScorer) -> None:
    model = scorer(name)
    pixels = noise(*model.buckets[0], photos=2)
    scored(model, pixels)  # what a bucket needs is worked out once
    with Waits() as waits:
        scored(model, pixels)
    assert waits.seen == []
