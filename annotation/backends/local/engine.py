"""A loaded model at work: threads decode photos, one thread runs it on full batches."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Protocol, TypeVar

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

T = TypeVar("T")

# How CUDA and its libraries say it where torch does not: in an error of another kind.
NO_MEMORY: Final = ("CUDA error: out of memory", "ALLOC_FAILED")
# Of two batches, one is launched while the device works on the other.
UNDER_WAY_ON_GPU: Final = 2
# A job's time limit reaches its thread between two waits, never during one.
SLICE_SECONDS: Final = 1.0
SWITCH_SECONDS: Final = 0.0005


class Model(Protocol):
    """What is asked of a scorer; see `scoring.Scorer`."""

    @property
    def buckets(self) -> tuple[Bucket, ...]: ...

    @property
    def padding(self) -> tuple[int, int, int]: ...

    def begin(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.int64]
    ) -> Callable[[], Scores]: ...


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
            self._begin,
            size=batch,
            under_way=UNDER_WAY_ON_GPU if on_gpu() else 1,
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

    def _begin(
        self, _bucket: Bucket, batch: list[Framed]
    ) -> Callable[[], list[Scored]]:
        pixels = np.stack([framed.pixels for framed in batch])
        boxes = np.array([framed.box for framed in batch], np.int64)
        begun = guarded(lambda: self._model.begin(pixels, boxes))
        return lambda: _each(guarded(begun))


def started(make: Callable[[], Model], *, batch: int, threads: int) -> Engine:
    """An engine with the model that `make` loads.

    Raises BackendUnavailableError, saying what is needed.
    """
    # A thousand operations make a batch, and after each the model's thread asks for the
    # interpreter again: at Python's own 5 ms, busy threads beside it starve the GPU.
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        return Engine(make(), batch=batch, threads=threads)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise BackendUnavailableError(
            "There is too little memory for this model: take a smaller one, or a GPU "
            "with more."
        ) from None


def guarded(work: Callable[[], T]) -> T:
    """What the work gives. Raises MemoryError whoever's memory it was that is full.

    Raises BackendUnavailableError if the GPU has failed.
    """
    try:
        return work()
    except Exception as error:
        if not is_out_of_memory(error):
            check_gpu()
            raise
    # Out here it has no context, whose frames would hold the batch's memory.
    raise MemoryError


def is_out_of_memory(error: Exception) -> bool:
    """Whether fewer photos at once may help."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and any(text in said for text in NO_MEMORY)


def _each(scores: Scores) -> list[Scored]:
    """The scores of each photo of a batch."""
    are_finite = finite(scores)
    seconds = scores.gpu_seconds / len(are_finite)
    return [
        Scored(scores, row, is_finite, seconds)
        for row, is_finite in enumerate(are_finite)
    ]


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

    That is for good: after such an error CUDA refuses all work of this process, which
    is therefore asked to stop.
    """
    if not on_gpu():
        return
    try:
        torch.ones(1, device="cuda").sum().item()
    except Exception:  # noqa: BLE001 - whatever it is, it does not compute
        stop_worker()
        raise BackendUnavailableError(
            "The GPU has failed: this worker stops, to be started anew; see the "
            "system's log."
        ) from None


@cache  # a second SIGTERM would end the worker before it has finished
def stop_worker() -> None:
    """Have this process finish and end, if it is a worker: its supervisor restarts it.

    A worker is known by its handler of SIGTERM; a command ends by the error itself.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if getattr(handler, "__module__", "").startswith("dramatiq"):
        os.kill(os.getpid(), signal.SIGTERM)


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
        return TransientError("stopped", counted=False)
    if isinstance(error, MemoryError):
        return TransientError("out-of-memory")
    logger.error("The model failed on a photo: %s", type(error).__name__)
    return PermanentError("model-failed")
