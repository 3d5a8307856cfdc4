"""A batch of photos goes to the annotator; every one of them gets an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from django.db import transaction
from django.db.models import F

import profiles.services as people
from annotation.backends import get_annotator
from annotation.backends.base import (
    AnnotationError,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.models import Annotation
from annotation.schema import Attributes, Gate, Verdict, problems
from annotation.services.requesting import tell
from profiles.models import Photo

MAX_ATTEMPTS = 8
DECIMALS = 4
FEATURES_TYPE = np.dtype("<f2")


def annotate(annotation_ids: Sequence[int]) -> int:
    """Read the photos of these pending rows; returns how many outcomes were recorded.

    The rows stay locked while the model works, so that a worker that dies leaves them
    pending and another one never does the same work beside it. Raises TransientError
    if the annotator asks to be called again.
    """
    try:
        with transaction.atomic():
            rows = list(
                Annotation.objects.pending()
                .filter(pk__in=annotation_ids)
                .select_related("photo")
                .select_for_update(skip_locked=True, of=("self",))
                .order_by("pk")
            )
            for row, outcome in zip(rows, _read(rows), strict=True):
                _settle(row, outcome)
    except TransientError as error:
        _count_attempt(annotation_ids, error.reason)
        raise
    return len(rows)


def _read(rows: Sequence[Annotation]) -> list[Reading | AnnotationError]:
    """One outcome per row; a file that cannot be opened fails alone."""
    images: list[bytes] = []
    for row in rows:
        try:
            with row.photo.annotation.open("rb") as file:
                images.append(file.read())
        except FileNotFoundError:
            images.append(b"")
        except OSError as error:
            raise TransientError("storage-unavailable") from error
    present = [image for image in images if image]
    readings = iter(get_annotator().read(present) if present else [])
    missing = PermanentError("file-missing")
    return [next(readings) if image else missing for image in images]


def _settle(row: Annotation, outcome: Reading | AnnotationError) -> None:
    if isinstance(outcome, TransientError):
        raise outcome
    if isinstance(outcome, AnnotationError):
        fail(row, outcome.reason)
    elif problems(outcome.attributes):
        fail(row, "off-schema")
    else:
        record(row, outcome)


def record(row: Annotation, reading: Reading) -> None:
    """Write a reading down, act on its gates, and tell the news."""
    row.status = Annotation.Status.DONE
    row.attributes = rounded(reading.attributes)
    row.gates = dict(reading.gates)
    row.features = (
        None
        if reading.features is None
        else reading.features.astype(FEATURES_TYPE).tobytes()
    )
    row.seconds = reading.seconds
    row.cost_usd = Decimal(str(reading.cost_usd))
    row.tokens = reading.tokens
    row.failure = ""
    row.attempts += 1
    row.save()
    _apply_gates(row.photo, reading.gates)
    tell(row.photo_id, row.photo.owner_id)


def rounded(attributes: Attributes) -> dict[str, dict[str, float]]:
    """Probabilities to four decimals: finer than annotators know, half the bytes."""
    return {
        name: {value: round(p, DECIMALS) for value, p in distribution.items()}
        for name, distribution in attributes.items()
    }


def fail(row: Annotation, reason: str) -> None:
    """Close a row for good, with a reason that a moderator can read."""
    row.status = Annotation.Status.FAILED
    row.failure = reason
    row.attempts += 1
    row.save()


def _count_attempt(annotation_ids: Sequence[int], reason: str) -> None:
    rows = Annotation.objects.pending().filter(pk__in=annotation_ids)
    rows.update(attempts=F("attempts") + 1)
    rows.filter(attempts__gte=MAX_ATTEMPTS).update(
        status=Annotation.Status.FAILED, failure=reason
    )


def _apply_gates(photo: Photo, gates: dict[Gate, Verdict]) -> None:
    """A failed gate quarantines; four passes publish; people have the last word."""
    failed = sorted(gate for gate, verdict in gates.items() if verdict == Verdict.FAIL)
    if failed:
        people.quarantine(photo.pk, reason=f"failed: {', '.join(failed)}")
    elif all(gates.get(gate) == Verdict.PASS for gate in Gate):
        people.approve(photo.pk, source=Photo.ApprovalSource.GATES)
