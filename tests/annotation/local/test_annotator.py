"""The local annotator: one model for many callers, and a word for all that can fail."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from dramatiq.middleware.threading import raise_thread_exception
from PIL import Image

pytest.importorskip("torch", reason="needs requirements/vlm.txt")

import torch

from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.backends.local import annotator as module
from annotation.backends.local import engine, loading
from annotation.backends.local.annotator import LocalAnnotator
from annotation.backends.local.configuration import LocalConfig
from annotation.backends.local.framing import Bucket
from annotation.backends.local.scoring import Scores
from annotation.prompt import QUESTIONS
from annotation.schema import Gate, problems

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[3]
CONFIG = LocalConfig(
    "tiny", revision="main", device="cpu", quantization="none", image_side=112, batch=8
)
SECONDS = 20.0
WIDTH = 4


def photo(shade: int, *, width: int = 64, height: int = 64) -> bytes:
    """A plain grey photo, so that a fake model can know it again."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), (shade,) * 3).save(out, "PNG")
    return out.getvalue()


class FakeModel:
    """Answers by a photo's shade; can be told to fail, and to wait."""

    buckets = (Bucket(32, 32), Bucket(32, 16))
    padding = (0, 0, 0)

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()
        self.fails: Callable[[list[int]], Exception | None] = lambda _: None
        self.go = threading.Event()
        self.go.set()

    def begin(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.int64]
    ) -> Callable[[], Scores]:
        return lambda: self.score(pixels)

    def score(self, pixels: npt.NDArray[np.uint8]) -> Scores:
        shades = [int(one[16, 8, 0]) for one in pixels]
        self.batches.append(shades)
        self.threads.add(threading.get_ident())
        assert self.go.wait(SECONDS)
        if error := self.fails(shades):
            raise error
        return scores_of(shades)


def scores_of(shades: list[int]) -> Scores:
    """The darker, the more likely the first option; the shade is the only feature."""
    first = np.array(shades, np.float32) / np.float32(255)
    return Scores(
        probabilities=[_distribution(first, len(q.options)) for q in QUESTIONS],
        mass=np.full((len(shades), len(QUESTIONS)), 0.75, np.float32),
        features=np.repeat(np.array(shades, np.float32)[:, None], WIDTH, 1),
        tokens=100,
    )


def _distribution(
    first: npt.NDArray[np.float32], options: int
) -> npt.NDArray[np.float32]:
    rest = np.repeat((1 - first)[:, None] / (options - 1), options - 1, 1)
    return np.concatenate([first[:, None], rest], 1)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def annotator(model: FakeModel) -> Iterator[LocalAnnotator]:
    made = LocalAnnotator(CONFIG, load=lambda _: model)
    yield made
    model.go.set()
    made.close()


@pytest.fixture(scope="module")
def tiny() -> Iterator[LocalAnnotator]:
    """A real model of random weights."""
    made = LocalAnnotator(
        CONFIG, load=lambda config: loading.random("tiny_qwen2_5", config)
    )
    yield made
    made.close()


def shade_of(outcome: Reading | AnnotationError) -> int:
    assert isinstance(outcome, Reading)
    assert outcome.features is not None
    return int(outcome.features[0])


def reasons(outcomes: list[Reading | AnnotationError]) -> list[str]:
    return [getattr(outcome, "reason", "") for outcome in outcomes]


def test_a_model_reads_photos_into_valid_readings(tiny: LocalAnnotator) -> None:
    photos = [photo(40), photo(200, width=48), photo(90, height=48)]
    for outcome in tiny.read(photos):
        assert isinstance(outcome, Reading)
        assert problems(outcome.attributes) == []
        assert set(outcome.gates) == set(Gate)
        assert set(outcome.mass) == set(outcome.attributes)
        assert all(0 < mass <= 1 for mass in outcome.mass.values())
        assert outcome.features is not None
        assert outcome.features.dtype == np.float32
        assert outcome.tokens > len(QUESTIONS)
        assert outcome.calls[0].seconds == outcome.seconds > 0


def test_a_photo_reads_the_same_alone_and_among_others(tiny: LocalAnnotator) -> None:
    photos = [photo(shade, width=48 + shade % 2) for shade in range(20, 220, 10)]
    with ThreadPoolExecutor(4) as callers:
        crowded = list(callers.map(tiny.read, [photos[i::4] for i in range(4)]))
    alone = tiny.read(photos[1:2])[0]
    among = crowded[1][0]
    assert isinstance(alone, Reading)
    assert isinstance(among, Reading)
    assert among.features == pytest.approx(alone.features, abs=1e-4)
    for name, distribution in alone.attributes.items():
        assert among.attributes[name] == pytest.approx(distribution, abs=1e-4)


def test_every_caller_gets_its_own_photos_in_their_order(
    annotator: LocalAnnotator, model: FakeModel
) -> None:
    def read(start: int) -> list[int]:
        shades = [(start + 7 * i) % 256 for i in range(30)]
        photos = [photo(shade, width=32 if shade % 3 else 64) for shade in shades]
        assert [shade_of(outcome) for outcome in annotator.read(photos)] == shades
        return shades

    with ThreadPoolExecutor(8) as callers:
        assert len(list(callers.map(read, range(0, 240, 20)))) == 12
    assert len(model.threads) == 1


def test_callers_share_batches(annotator: LocalAnnotator, model: FakeModel) -> None:
    model.go.clear()
    with ThreadPoolExecutor(9) as callers:
        first = callers.submit(annotator.read, [photo(0)])
        while not model.batches:
            assert not first.done()
        others = [callers.submit(annotator.read, [photo(n)]) for n in range(1, 9)]
        while len(annotator._engine._batcher._queues.get(Bucket(32, 32), ())) < 8:  # type: ignore[union-attr]
            assert not first.done()
        model.go.set()
        for other in others:
            other.result(SECONDS)
    assert sorted(model.batches[1]) == list(range(1, 9))


def test_one_bad_photo_fails_alone(annotator: LocalAnnotator) -> None:
    outcomes = annotator.read([b"", photo(1), b"GIF89a, nearly", photo(2)[:60]])
    assert reasons(outcomes) == ["not-an-image", "", "not-an-image", "not-an-image"]
    assert isinstance(outcomes[0], PermanentError)
    assert shade_of(outcomes[1]) == 1


def test_a_photo_that_breaks_the_model_fails_alone(
    annotator: LocalAnnotator, model: FakeModel
) -> None:
    model.fails = lambda shades: ValueError("secret") if 13 in shades else None
    outcomes = annotator.read([photo(shade) for shade in (11, 12, 13, 14)])
    assert reasons(outcomes) == ["", "", "model-failed", ""]
    assert isinstance(outcomes[2], PermanentError)


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublas"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    ],
    ids=["torch", "cuda", "cublas", "cudnn"],
)
def test_a_photo_too_large_for_memory_is_tried_again_later(
    annotator: LocalAnnotator, model: FakeModel, full: Exception
) -> None:
    model.fails = lambda shades: full if 13 in shades or len(shades) > 2 else None
    outcomes = annotator.read([photo(shade) for shade in (11, 12, 13, 14)])
    assert reasons(outcomes) == ["", "", "out-of-memory", ""]
    assert isinstance(outcomes[2], TransientError)
    assert annotator._engine is not None
    limits = annotator._engine._batcher._limits.values()
    assert [limit.size for limit in limits] == [1]  # of 8: it remembers


@pytest.mark.parametrize("field", ["probabilities", "mass", "features"])
@pytest.mark.parametrize("nothing", [np.nan, np.inf])
def test_a_photo_without_numbers_fails_alone(
    annotator: LocalAnnotator,
    model: FakeModel,
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    nothing: float,
) -> None:
    def score(pixels: npt.NDArray[np.uint8]) -> Scores:
        scores = scores_of([int(one[16, 8, 0]) for one in pixels])
        numbers = getattr(scores, field)
        last = numbers[-1] if field == "probabilities" else numbers
        last[[int(one[16, 8, 0]) == 13 for one in pixels], 0] = nothing
        return scores

    monkeypatch.setattr(model, "score", score)
    outcomes = annotator.read([photo(shade) for shade in (12, 13, 14)])
    assert reasons(outcomes) == ["", "model-failed", ""]


def workers_handler(tell: Callable[[], None] = lambda: None) -> Callable[..., None]:
    """What handles SIGTERM in a process of Dramatiq's."""

    def handle(*_: object) -> None:
        tell()

    handle.__module__ = "dramatiq.cli"
    return handle


def test_a_gpu_that_fails_is_no_photos_fault(
    annotator: LocalAnnotator, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.fails = lambda _: RuntimeError("CUDA error: an illegal memory access")
    # A GPU that is in use and does not answer: here, because there is none.
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    told = threading.Event()
    engine.stop_worker.cache_clear()
    before = signal.signal(signal.SIGTERM, workers_handler(told.set))
    try:
        with pytest.raises(BackendUnavailableError, match="worker stops"):
            annotator.read([photo(1), photo(2)])
        assert told.wait(SECONDS)  # it would go on taking jobs, and do none of them
    finally:
        signal.signal(signal.SIGTERM, before)


def test_only_a_worker_is_stopped_and_no_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *given: sent.append(given))
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for handler in (signal.SIG_DFL, lambda *_: None, workers_handler()):
            engine.stop_worker.cache_clear()
            signal.signal(signal.SIGTERM, handler)
            engine.stop_worker()
            engine.stop_worker()  # a second time would end it before it has finished
        assert sent == [(os.getpid(), signal.SIGTERM)]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_gpus_time_is_shared_and_paid_for(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(pixels: npt.NDArray[np.uint8]) -> Scores:
        scores = scores_of([int(one[16, 8, 0]) for one in pixels])
        return replace(scores, gpu_seconds=2.0 * len(pixels))

    monkeypatch.setattr(model, "score", score)
    priced = LocalAnnotator(replace(CONFIG, usd_per_gpu_hour=6.0), load=lambda _: model)
    for outcome in priced.read([photo(1), photo(2), photo(3)]):
        assert isinstance(outcome, Reading)
        assert outcome.calls[0].gpu_seconds == 2
        assert outcome.cost_usd == pytest.approx(2 * 6 / 3_600)
        assert outcome.tokens == 100
    priced.close()


def test_nothing_is_loaded_before_the_first_photo() -> None:
    loads: list[str] = []

    def load(config: LocalConfig) -> FakeModel:
        loads.append(config.model)
        return FakeModel()

    lazy = LocalAnnotator(CONFIG, load=load)
    assert lazy.version == CONFIG.version
    assert lazy.read([]) == []
    assert loads == []
    with ThreadPoolExecutor(8) as callers:
        for outcomes in callers.map(lazy.read, [[photo(n)] for n in range(8)]):
            assert len(outcomes) == 1
    assert loads == ["tiny"]
    lazy.close()


def test_to_make_one_takes_no_torch() -> None:
    script = (
        "import sys; from annotation.backends.local.annotator import LocalAnnotator;"
        "LocalAnnotator(); assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (BackendUnavailableError("No weights in /x."), "No weights"),
        (ModuleNotFoundError("No module", name="torch"), "torch.*requirements/vlm.txt"),
        (torch.OutOfMemoryError("CUDA out of memory"), "too little memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "too little memory"),
        (ImportError("FP8 requires accelerate"), "ImportError: FP8 requires accel"),
        (
            RuntimeError("no kernel image\nmore"),
            "loaded: RuntimeError: no kernel image$",
        ),
        (json.JSONDecodeError("Expecting", "{", 1), "loaded: JSONDecodeError"),
    ],
    ids=["weights", "library", "memory", "gpu", "import", "kernel", "json"],
)
def test_what_is_missing_is_told_and_looked_for_again_later(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    outcomes: Iterator[Exception | FakeModel] = iter([error, error, model])
    asked: list[LocalConfig] = []

    def load(config: LocalConfig) -> FakeModel:
        asked.append(config)
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    late = LocalAnnotator(CONFIG, load=load)
    for _ in range(3):
        with pytest.raises(BackendUnavailableError, match=says):
            late.read([photo(1)])
    assert len(asked) == 1  # not by every job
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    with pytest.raises(BackendUnavailableError, match=says):
        late.read([photo(1)])
    assert shade_of(late.read([photo(1)])[0]) == 1
    late.close()


def test_closing_finishes_what_was_begun(
    annotator: LocalAnnotator, model: FakeModel
) -> None:
    model.go.clear()
    with ThreadPoolExecutor(2) as callers:
        reading = callers.submit(annotator.read, [photo(n) for n in range(30)])
        while not model.batches:
            assert not reading.done()
        closing = callers.submit(annotator.close)
        model.go.set()
        assert [shade_of(outcome) for outcome in reading.result(SECONDS)] == [
            *range(30)
        ]
        closing.result(SECONDS)
    assert annotator._engine is None


def test_a_time_limit_reaches_a_job_that_waits_for_the_model(
    annotator: LocalAnnotator, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    class TooLong(BaseException):
        pass

    def job() -> None:
        with pytest.raises(TooLong):
            annotator.read([photo(1)])
        ended.set()

    ended = threading.Event()
    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.01)
    model.go.clear()
    thread = threading.Thread(target=job)
    thread.start()
    while not model.batches:
        assert thread.is_alive()
    raise_thread_exception(thread.ident, TooLong)  # type: ignore[no-untyped-call]
    assert ended.wait(SECONDS)
    thread.join()
