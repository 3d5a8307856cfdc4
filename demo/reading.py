"""Waiting for the real worker to read the demo's photos."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence

from django.db.models import QuerySet

from annotation import services as annotation
from annotation.models import Annotation
from annotation.services.requesting import version_fields
from demo.failure import DemoError
from twinby.progress import Progress

PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.25


def read(
    photo_ids: Sequence[uuid.UUID],
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    poll: Callable[[], None] = lambda: time.sleep(POLL_SECONDS),
) -> int:
    """Ask for what is unread and wait until all is read; returns how many that were.

    Raises DemoError when nothing moves for a while, or when a photo cannot be read.
    """
    waiting = len(annotation.request(photo_ids).queued)
    if waiting:
        _watch(_rows(photo_ids), len(photo_ids), patience_seconds, poll)
    failed = _rows(photo_ids).filter(status=Annotation.Status.FAILED)
    if failed.exists():
        reasons = Counter(failed.values_list("failure", flat=True))
        counted = ", ".join(f"{reason}: {n}" for reason, n in reasons.most_common())
        raise DemoError(f"Some photos could not be read ({counted}).")
    return waiting


def _watch(
    rows: QuerySet[Annotation],
    total: int,
    patience_seconds: float,
    poll: Callable[[], None],
) -> None:
    finished = rows.exclude(status=Annotation.Status.PENDING)
    progress = Progress("Reading photos", total, start=finished.count())
    moved = time.monotonic()
    while (done := finished.count()) < total:
        if done > progress.done:
            moved = time.monotonic()
        if time.monotonic() - moved > patience_seconds:
            raise DemoError(
                f"No photo was read for {patience_seconds:.0f} s; {done} of {total} "
                "are. Is a worker running? ./run worker starts one."
            )
        progress.reach(done)
        poll()
    progress.reach(total)
    progress.finish()


def _rows(photo_ids: Sequence[uuid.UUID]) -> QuerySet[Annotation]:
    return Annotation.objects.filter(photo_id__in=photo_ids, **version_fields())
