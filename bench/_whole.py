"""An annotator whose stages are its own business: how soon it reads, and how large."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from django.test.utils import override_settings

from annotation.backends.base import Annotator, BackendUnavailableError
from bench._bench import ROOT, rounded, timed
from bench._stages import Clock, one_round
from profiles.models import Photo
from profiles.storage import annotation_bytes

PEER_PHOTOS: Final = 64
MEBIBYTE: Final = 1024 * 1024
# Without Django, whose apps a worker loads before it asks for an annotator.
ONE_PHOTO: Final = (
    "import sys; from annotation.backends import get_annotator;"
    "outcome = get_annotator(sys.argv[1]).read([sys.stdin.buffer.read()])[0];"
    "sys.exit(getattr(outcome, 'reason', None))"
)


@dataclass(frozen=True)
class Whole:
    """Any annotator, and how many threads use it."""

    annotator: Annotator
    backend: str
    rounds: int
    workers: int
    with_peer: bool
    clocks: Mapping[str, Clock] = field(default_factory=dict)

    def alone(self, images: Sequence[bytes]) -> dict[str, float]:
        times = [
            timed(lambda: self.annotator.read(images))[1] for _ in range(self.rounds)
        ]
        return {"read": 1_000 * len(images) / median(times)}

    def figures(self, photos_per_second: float) -> dict[str, Any]:
        """Its start and its size, and the same photo after photo instead of batches."""
        photos = list(Photo.objects.order_by("pk")[:PEER_PHOTOS])
        found: dict[str, Any] = {
            "resident_megabytes": rounded(resident_bytes() / MEBIBYTE),
            "first_photo_seconds": rounded(first_photo_seconds(self.backend, photos)),
        }
        if self.with_peer:
            with override_settings(ANNOTATION_BATCH=1):
                peer = one_round(self, photos, workers=self.workers)
            speed = len(photos) / peer.seconds
            found["peer"] = {
                "one_photo_at_a_time_per_second": rounded(speed),
                "batches_over_single": rounded(photos_per_second / speed),
            }
        return found


def resident_bytes() -> int:
    """The most that this process, which is no smaller than a worker, has held so far.

    `getrusage` says kibibytes on Linux, and bytes on a Mac.
    """
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def first_photo_seconds(backend: str, photos: Sequence[Photo]) -> float:
    """From the start of a process that does nothing else to its first reading.

    Raises BackendUnavailableError if there is none.
    """
    started = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-c", ONE_PHOTO, backend],
        input=annotation_bytes(photos[0]),
        cwd=ROOT,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise BackendUnavailableError("A fresh process could not read a photo.")
    return seconds
