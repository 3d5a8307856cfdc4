"""The embedded annotator: a compact network of our own, on the CPU, with no server.

Faces are found by OpenCV's cascade and looked at closely; the whole photo is looked at
for its clothes. What its training data do not label is `not_visible`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from annotation.backends import base, weights
from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    PermanentError,
    Reading,
)
from annotation.schema import Verdict
from annotation.small.framing import Look, look
from annotation.small.heads import readings
from annotation.small.pixels import decode
from annotation.small.readout import Readout
from twinby.env import env_int

BATCH: Final = 32
SHARE: Final = 8  # photos at a time: more take memory, of fewer each takes longer
Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Seen:
    """What the network answers to one photo."""

    look: Look
    attributes: dict[str, dict[str, float]]
    features: Features

    def reading(self, seconds: float) -> Reading:
        return Reading(
            attributes=self.attributes,
            gates=base.gates(face_count=_face_count(self.look.faces)),
            features=self.features,
            seconds=seconds,
        )


def _face_count(faces: int) -> Verdict:
    """One face passes. None or several may be the cascade's mistake: a person looks."""
    return Verdict.PASS if faces == 1 else Verdict.UNKNOWN


@dataclass(frozen=True)
class _Network:
    session: onnxruntime.InferenceSession
    readout: Readout

    def read(self, photos: Sequence[bytes]) -> list[_Seen | None]:
        """What is seen of every photo, in order; None of what is not an image."""
        looks = [_look(data) for data in photos]
        answers = self._answers([seen for seen in looks if seen is not None])
        return [None if seen is None else next(answers) for seen in looks]

    def _answers(self, looks: list[Look]) -> Iterator[_Seen]:
        if not looks:
            return
        inputs = {
            "face": np.stack([seen.face for seen in looks]),
            "photo": np.stack([seen.photo for seen in looks]),
        }
        room = np.array([seen.room for seen in looks], np.float32)
        logits, features = self.session.run(["logits", "features"], inputs)
        attributes = readings(self.readout.answers(logits, room))
        yield from map(_Seen, looks, attributes, features)


def _look(data: bytes) -> Look | None:
    photo = decode(data)
    return None if photo is None else look(photo)


class SmallAnnotator:
    """Loaded on first use, safe to share between threads."""

    def __init__(self) -> None:
        self._loading = threading.Lock()
        self._threads = env_int("TWINBY_THREADS", 0) or os.cpu_count() or 1
        self._network: _Network | None = None

    @property
    def version(self) -> AnnotatorVersion:
        return weights.version()

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Read encoded images; one outcome each, in their order."""
        outcomes: list[Reading | AnnotationError] = []
        for start in range(0, len(photos), BATCH):
            outcomes += self._read_batch(photos[start : start + BATCH])
        return outcomes

    def _read_batch(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        """Each core takes a share all the way: none waits for the others' decoding."""
        started = time.perf_counter()
        network = self._loaded()
        shares = [photos[n : n + SHARE] for n in range(0, len(photos), SHARE)]
        seen = list(chain.from_iterable(self._pool.map(network.read, shares)))
        seconds = (time.perf_counter() - started) / len(photos)
        return [
            PermanentError("not-an-image") if one is None else one.reading(seconds)
            for one in seen
        ]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        # OpenCV works outside the interpreter's lock, as the network does, so threads
        # do work in parallel; its own threads would only get in their way.
        cv2.setNumThreads(1)
        return ThreadPoolExecutor(self._threads, thread_name_prefix="small")

    def _loaded(self) -> _Network:
        with self._loading:
            if self._network is None:
                self._network = _load()
            return self._network


def _load() -> _Network:
    options = onnxruntime.SessionOptions()
    # Each of our threads runs the network by itself.
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        weights.network(), options, providers=["CPUExecutionProvider"]
    )
    return _Network(session, Readout.of_json(weights.metadata()["calibration"]))
