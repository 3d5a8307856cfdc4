"""A loaded model at work: threads decode photos, one thread runs it on full batches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch

from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    PermanentError,
    TransientError,
)
from annotation.backends.local.batching import Batcher, ClosedError
from annotation.backends.local.framing import Bucket, Framed, frame
from annotation.backends.local.scoring import Scores

logger = logging.getLogger(__name__)

OUT_OF_MEMORY: Final = (torch.OutOfMemoryError, MemoryError)
# A job's time limit reaches its thread between two waits, never during one.
SLICE_SECONDS: Final = 1.0
SWITCH_SECONDS: Final = 0.0005


class Model(Protocol):
    """What is asked of a scorer; see `scoring.Scorer`."""

    @property
    def buckets(self) -> tuple[Bucket, ...]: ...

    @property
    def padding(self) -> tuple[int, int, int]: ...

    def score(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.int64]
    ) -> Scores: ...


@dataclass(frozen=True, eq=False)
class Scored:
    """One photo of a batch: its row in `scores`, and its share of the GPU's time.

    `is_finite`: whether the model gave numbers at all.
    """

    scores: Scores
    row: int
    is_finite: bool
    gpu_seconds: float

    @property
    def features(self) -> npt.NDArray[np.float32]:
        """(width,)."""
        features: npt.NDArray[np.float32] = self.scores.features[self.row]
        return features

    @property
    def probabilities(self) -> list[list[float]]:
        """Of every question's options."""
        return [answers[self.row].tolist() for answers in self.scores.probabilities]

    @property
    def mass(self) -> list[float]:
        """Of every question."""
        mass: list[float] = np.minimum(self.scores.mass[self.row], 1.0).tolist()
        return mass


class Engine:
    """Photos in, scores out, for any number of threads at once."""

    def __init__(self, model: Model, *, batch: int, threads: int) -> None:
        self._model = model
        self._batcher = Batcher[Bucket, Framed, Scored](
            self._score,
            size=batch,
            exhausted=OUT_OF_MEMORY,
            broken=(BackendUnavailableError,),
        )
        self._decoders = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def score(self, photos: Sequence[bytes]) -> list[Scored | AnnotationError]:
        """The scores of every encoded photo, or why it has none.

        Raises BackendUnavailableError if the GPU has broken down.
        """
        taken = [self._decoders.submit(self._take, photo) for photo in photos]
        try:
            _wait_for(taken)
            asked = [future.result() for future in taken]
            _wait_for([future for future in asked if future])
        finally:  # where this thread is interrupted, nobody wants the rest
            for future in taken:
                future.cancel()
        return [_outcome(future) for future in asked]

    def close(self) -> None:
        """Finish what was begun, and let the model go."""
        self._decoders.shutdown()
        self._batcher.close()

    def _take(self, photo: bytes) -> Future[Scored] | None:
        """Decoded and handed on; waits while the model has enough to do."""
        model = self._model
        framed = frame(photo, buckets=model.buckets, padding=model.padding)
        return self._batcher.submit(framed.bucket, framed) if framed else None

    def _score(self, bucket: Bucket, batch: list[Framed]) -> list[Scored]:
        started = perf_counter()
        # Here the next batch could be staged in pinned memory while this one is read.
        pixels = np.stack([framed.pixels for framed in batch])
        boxes = np.array([framed.box for framed in batch], np.int64)
        try:
            scores = self._model.score(pixels, boxes)
        except OUT_OF_MEMORY:
            raise
        except Exception:
            check_gpu()
            raise
        seconds = perf_counter() - started if on_gpu() else 0.0
        return [
            Scored(scores, row, is_finite, seconds / len(batch))
            for row, is_finite in enumerate(finite(scores))
        ]


def started(make: Callable[[], Model], *, batch: int, threads: int) -> Engine:
    """An engine with the model that `make` loads.

    Raises BackendUnavailableError, saying what is needed.
    """
    # A thousand operations make a batch, and after each the model's thread asks for the
    # interpreter again: at Python's own 5 ms, busy threads beside it starve the GPU.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return Engine(make(), batch=batch, threads=threads)
    except OUT_OF_MEMORY:
        raise BackendUnavailableError(
            "There is too little memory for this model: take a smaller one, or a GPU "
            "with more."
        ) from None


def finite(scores: Scores) -> list[bool]:
    """Of each photo, whether all its numbers are."""
    told = (*scores.probabilities, scores.mass, scores.features)
    each = np.all([np.isfinite(numbers).all(axis=1) for numbers in told], axis=0)
    return [bool(one) for one in each]


def on_gpu() -> bool:
    """Whether this process works on a GPU."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def check_gpu() -> None:
    """Raise BackendUnavailableError if the GPU in use computes no longer.

    That is for good: after such an error CUDA refuses all work of this process.
    """
    if not on_gpu():
        return
    try:
        torch.ones(1, device="cuda").sum().item()
    except Exception:  # noqa: BLE001 - whatever it is, it does not compute
        raise BackendUnavailableError(
            "The GPU has failed: restart this worker, and see the system's log."
        ) from None


def _wait_for(futures: Sequence[Future[Any]]) -> None:
    while wait(futures, timeout=SLICE_SECONDS).not_done:
        pass


def _outcome(future: Future[Scored] | None) -> Scored | AnnotationError:
    if future is None:
        return PermanentError("not-an-image")
    error = future.exception()
    if error is None:
        scored = future.result()
        return scored if scored.is_finite else PermanentError("model-failed")
    if isinstance(error, BackendUnavailableError):
        raise error
    if isinstance(error, ClosedError):
        return TransientError("stopped")
    if isinstance(error, OUT_OF_MEMORY):
        return TransientError("out-of-memory")
    logger.error("The model failed on a photo: %s", type(error).__name__)
    return PermanentError("model-failed")
