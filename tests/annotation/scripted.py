"""An annotator that answers what a test tells it to, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from annotation.backends.base import AnnotationError, AnnotatorVersion, Reading, gates
from annotation.models import Annotation
from annotation.schema import Verdict, unseen_attributes
from profiles.models import Photo

Outcome = Reading | AnnotationError
ALL_PASS = dict.fromkeys(("face_count", "quality", "nudity", "adults"), Verdict.PASS)


class Scripted:
    """Answers in the order given; then, and without any answers, with plain readings.

    `seen` are the sizes of the batches; `meanwhile` is called while it reads.
    """

    version = AnnotatorVersion(backend="fake", model="fake-1")

    def __init__(self, *outcomes: Outcome | BaseException) -> None:
        self.outcomes = list(outcomes)
        self.seen: list[int] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def read(self, photos: Sequence[bytes]) -> list[Outcome]:
        self.seen.append(len(photos))
        self.meanwhile()
        return [self._next() for _ in photos]

    def _next(self) -> Outcome:
        outcome = self.outcomes.pop(0) if self.outcomes else reading()
        if isinstance(outcome, Reading | AnnotationError):
            return outcome
        raise outcome


Script = Callable[..., Scripted]


def reading(**verdicts: Verdict) -> Reading:
    return Reading(
        attributes=unseen_attributes(),
        gates=gates(**verdicts),
        features=np.full(512, 0.25, np.float32),
        seconds=0.01,
    )


def row_of(photo: Photo) -> Annotation:
    return Annotation.objects.get(photo=photo)


def rows_of(photos: Sequence[Photo]) -> list[int]:
    return [row_of(photo).pk for photo in photos]
