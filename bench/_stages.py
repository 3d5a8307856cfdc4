"""An annotator under measurement: who uses it, and how long each stage is at work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from django.db import connections
from django.test.utils import override_settings

from annotation import services as annotation
from annotation.backends import BACKENDS, batch_size, close_annotators
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    AnnotatorVersion,
    Reading,
)
from annotation.models import Annotation
from profiles.models import Photo

NAME: Final = "bench"
GPU: Final = "gpu"  # the clock of a device's own seconds, which is no stage
P = ParamSpec("P")
T = TypeVar("T")


class Clock:
    """Seconds that threads spent in some work, added up."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def timed(self, work: Callable[P, T]) -> Callable[P, T]:
        """The same work, on this clock."""

        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            started = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                self.add(time.perf_counter() - started)

        return measured

    def add(self, seconds: float) -> None:
        """So much more, which somebody else has measured."""
        with self._lock:
            self.seconds += seconds


class Subject(Protocol):
    """What is measured: an annotator, and what can be said of its own stages.

    `clocks` run in them while it reads; `alone` are photos a second of each by itself;
    `figures` are those that only its kind has.
    """

    @property
    def annotator(self) -> Annotator: ...

    @property
    def backend(self) -> str: ...

    @property
    def clocks(self) -> Mapping[str, Clock]: ...

    def alone(self, images: Sequence[bytes]) -> dict[str, float]: ...

    def figures(self, photos_per_second: float) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Stand:
    """In place of an annotator: under its version, but by a `read` of ours."""

    version: AnnotatorVersion
    read: Callable[[Sequence[bytes]], list[Reading | AnnotationError]]


@dataclass(frozen=True)
class Round:
    """All photos once: seconds that passed, and that each stage's threads worked."""

    seconds: float
    busy: dict[str, float]


def one_round(subject: Subject, photos: Sequence[Photo], *, workers: int) -> Round:
    """From rows that ask for a reading to rows that hold one."""
    reading, job = Clock(), Clock()
    stand = Stand(subject.annotator.version, reading.timed(subject.annotator.read))
    before = {name: clock.seconds for name, clock in subject.clocks.items()}
    with used_by_services(stand, backend=subject.backend):
        seconds = worked_off(asked_for(photos), job.timed(_job), workers=workers)
    inside = {n: clock.seconds - before[n] for n, clock in subject.clocks.items()}
    own = inside or {"read": reading.seconds}
    return Round(seconds, own | {"write": job.seconds - reading.seconds})


def writing_alone(
    subject: Subject, photos: Sequence[Photo], reading: Reading, *, workers: int
) -> float:
    """Photos a second where reading takes no time: rows, files, claims and news."""
    stand = Stand(subject.annotator.version, lambda images: [reading] * len(images))
    with used_by_services(stand, backend=subject.backend):
        seconds = worked_off(asked_for(photos), _job, workers=workers)
    return len(photos) / seconds


def asked_for(photos: Sequence[Photo]) -> list[list[int]]:
    """New rows for all the photos, in the batches that workers are sent."""
    Annotation.objects.all().delete()
    annotation.request([photo.pk for photo in photos])
    ids = list(Annotation.objects.order_by("pk").values_list("pk", flat=True))
    size = batch_size()
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def worked_off(
    batches: Sequence[list[int]], job: Callable[[list[int]], None], *, workers: int
) -> float:
    """Seconds in which so many threads do all the jobs, as those of a worker would."""
    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(job, batches))
    return time.perf_counter() - started


def _job(annotation_ids: list[int]) -> None:
    try:
        annotation.annotate(annotation_ids)
    finally:
        connections.close_all()


_in_use: list[Annotator] = []


def annotator_in_use() -> Annotator:
    """The one that `used_by_services` was given; back ends are named by a path."""
    return _in_use[-1]


@contextmanager
def used_by_services(annotator: Annotator, *, backend: str) -> Iterator[None]:
    """Have the services read with this very annotator, as if it were `backend`'s."""
    BACKENDS[NAME] = replace(
        BACKENDS[backend],
        annotator=f"{__name__}.{annotator_in_use.__name__}",
        version=lambda: annotator.version,
    )
    _in_use.append(annotator)
    try:
        with override_settings(ANNOTATOR=NAME):
            yield
    finally:
        _in_use.pop()
        close_annotators()
        del BACKENDS[NAME]
