"""A batch of photos goes to the annotator; every one of them gets an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.db.models import F

import profiles.services as people
from annotation.backends import get_annotator
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.models import Annotation, AnnotationQuerySet
from annotation.schema import Attributes, Gate, Verdict, problems
from annotation.services.requesting import active_version, tell, version_fields
from profiles.models import Photo, Profile
from profiles.storage import annotation_bytes
from twinby.errors import NotFoundError, UnavailableError

MAX_ATTEMPTS = 8
DECIMALS = 4
FEATURES_TYPE = np.dtype("<f2")


def annotate(annotation_ids: Sequence[int]) -> int:
    """Read the photos of these pending rows; returns how many outcomes were recorded.

    1. The attempt is counted before it is made: a photo that kills its worker runs out
       of attempts as well. What failed before is tried alone, without neighbours.
    2. The rows stay locked while the model works: a worker that dies leaves them
       pending, and another one never does the same work beside it.

    Raises TransientError if a photo is to be read again later; the others are kept.
    """
    recorded, again = 0, None
    for batch in _begun(annotation_ids):
        try:
            recorded += _annotate(batch)
        except TransientError as error:
            _close_exhausted(batch, error.reason)
            again = error
        except Exception:
            _close_exhausted(batch, "annotator-broke")
            raise
    if again:
        raise again
    return recorded


def _due(annotation_ids: Sequence[int]) -> AnnotationQuerySet:
    """Pending rows of the active version, of people who consent to being read."""
    return Annotation.objects.pending().filter(
        pk__in=annotation_ids,
        photo__owner__in=Profile.objects.annotatable(),
        **version_fields(),
    )


def _begun(annotation_ids: Sequence[int]) -> list[list[int]]:
    """Batches whose attempt has been counted: the new ones, then each other alone."""
    _close_exhausted(annotation_ids, "too-many-attempts")
    attempts = dict(_due(annotation_ids).values_list("pk", "attempts"))
    _due(annotation_ids).update(attempts=F("attempts") + 1)
    fresh = [pk for pk, made in attempts.items() if made == 0]
    alone = [[pk] for pk, made in attempts.items() if made > 0]
    return [fresh, *alone] if fresh else alone


def _close_exhausted(annotation_ids: Sequence[int], reason: str) -> None:
    exhausted = Annotation.objects.pending().filter(
        pk__in=annotation_ids, attempts__gte=MAX_ATTEMPTS
    )
    exhausted.update(status=Annotation.Status.FAILED, failure=reason)


def _annotate(annotation_ids: Sequence[int]) -> int:
    with transaction.atomic():
        rows = list(
            _due(annotation_ids)
            .select_related("photo")
            .select_for_update(skip_locked=True, of=("self",))
            .order_by("pk")
        )
        outcomes = _read(rows)
        for row, outcome in zip(rows, outcomes, strict=True):
            _settle(row, outcome)
    for outcome in outcomes:
        if isinstance(outcome, TransientError):
            raise outcome
    return len(rows)


def _read(rows: Sequence[Annotation]) -> list[Reading | AnnotationError]:
    """One outcome per row; a file that cannot be opened fails alone."""
    images = [_image(row.photo) for row in rows]
    present = [image for image in images if isinstance(image, bytes)]
    readings = iter(_annotator().read(present) if present else [])
    return [next(readings) if isinstance(i, bytes) else i for i in images]


def _image(photo: Photo) -> bytes | AnnotationError:
    try:
        return annotation_bytes(photo)
    except NotFoundError:
        return PermanentError("file-missing")
    except UnavailableError:
        return TransientError("storage-unavailable")


def _annotator() -> Annotator:
    """The active annotator, which must be what web processes take it for."""
    annotator = get_annotator()
    if annotator.version != active_version():
        raise TransientError("another-version")  # a worker of another release
    return annotator


def _settle(row: Annotation, outcome: Reading | AnnotationError) -> None:
    """Record an outcome; what is to be tried again stays pending."""
    if isinstance(outcome, TransientError):
        return
    if isinstance(outcome, AnnotationError):
        fail(row, outcome.reason)
    elif problems(outcome.attributes):
        fail(row, "off-schema")
    elif not np.isfinite(stored_features(outcome)).all():
        fail(row, "features-out-of-range")
    else:
        record(row, outcome)


def stored_features(reading: Reading) -> npt.NDArray[np.float16]:
    """A reading's features as they are kept, (width,); of shape (0,) if it has none."""
    features = np.empty(0) if reading.features is None else reading.features
    with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
        return features.astype(FEATURES_TYPE)


def record(row: Annotation, reading: Reading) -> None:
    """Write a reading down, act on its gates, and tell the news."""
    row.status = Annotation.Status.DONE
    row.source = reading.source
    row.attributes = rounded(reading.attributes)
    row.gates = dict(reading.gates)
    row.features = stored_features(reading).tobytes() or None
    row.seconds = reading.seconds
    row.cost_usd = Decimal(str(reading.cost_usd))
    row.tokens = reading.tokens
    row.failure = ""
    row.save()
    _apply_gates(row.photo, reading.gates)
    tell(row.photo_id, row.photo.owner_id)


def rounded(attributes: Attributes) -> dict[str, dict[str, float]]:
    """Probabilities to four decimals: finer than annotators know, half the bytes."""
    return {
        name: {value: round(float(p), DECIMALS) for value, p in distribution.items()}
        for name, distribution in attributes.items()
    }


def fail(row: Annotation, reason: str) -> None:
    """Close a row for good, with a reason that a moderator can read."""
    row.status = Annotation.Status.FAILED
    row.failure = reason
    row.save()


def _apply_gates(photo: Photo, gates: dict[Gate, Verdict]) -> None:
    """A failed gate quarantines; four passes publish; people have the last word.

    An anchor is published to nobody, whatever it passes.
    """
    failed = sorted(gate for gate, verdict in gates.items() if verdict == Verdict.FAIL)
    if failed:
        people.quarantine(photo.pk, reason=f"failed: {', '.join(failed)}")
    elif not photo.is_anchor and all(gates.get(g) == Verdict.PASS for g in Gate):
        people.approve(photo.pk, source=Photo.ApprovalSource.GATES)
