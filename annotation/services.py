"""From photos to attributes: asking for readings, recording them, correcting them."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.utils import timezone

import profiles.services as people
from annotation import signals
from annotation.backends import get_annotator
from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.models import Annotation, Correction
from annotation.schema import (
    BY_NAME,
    NOT_VISIBLE,
    SCHEMA_VERSION,
    Attribute,
    Attributes,
    Gate,
    Kind,
    Verdict,
    problems,
    unseen_attributes,
)
from profiles.models import Photo, Profile
from twinby.errors import InvalidError, NotFoundError

MAX_ATTEMPTS = 8
DECIMALS = 4
FEATURES_TYPE = np.dtype("<f2")


@dataclass(frozen=True)
class Requested:
    """What became of a request to read photos."""

    queued: list[uuid.UUID]
    done: list[uuid.UUID]
    unknown: list[uuid.UUID]


@dataclass(frozen=True)
class EffectiveReading:
    """What is taken to be true of a photo: corrections over the active model's reading.

    `features` are float32 of shape (width,), comparable only within `model`.
    """

    attributes: Attributes
    features: npt.NDArray[np.float32] | None
    model: str
    corrected: frozenset[str]


# Asking -------------------------------------------------------------------------------


def active_version() -> AnnotatorVersion:
    """The version whose readings count at present."""
    return get_annotator().version


def _version_fields() -> dict[str, str]:
    version = active_version()
    return {
        "backend": version.backend,
        "model": version.model,
        "prompt_version": version.prompt,
        "schema_version": SCHEMA_VERSION,
    }


@transaction.atomic
def request(photo_ids: Collection[uuid.UUID]) -> Requested:
    """Queue those photos for the active annotator that it has not read.

    Photos of people without consent count as unknown. A failed one is tried again.
    """
    known = set(
        Photo.objects.filter(
            pk__in=photo_ids, owner__in=Profile.objects.annotatable()
        ).values_list("pk", flat=True)
    )
    fields = _version_fields()
    Annotation.objects.bulk_create(
        [Annotation(photo_id=pk, **fields) for pk in sorted(known)],
        ignore_conflicts=True,
    )
    rows = Annotation.objects.filter(photo_id__in=known, **fields)
    rows.filter(status=Annotation.Status.FAILED).update(
        status=Annotation.Status.PENDING, failure="", attempts=0
    )
    pending = dict(rows.pending().order_by("pk").values_list("pk", "photo_id"))
    if pending:
        signals.annotation_requested.send(Annotation, annotation_ids=list(pending))
    queued = set(pending.values())
    return Requested(
        queued=[pk for pk in photo_ids if pk in queued],
        done=[pk for pk in photo_ids if pk in known - queued],
        unknown=[pk for pk in photo_ids if pk not in known],
    )


def sweep(*, older_than: dt.timedelta, limit: int) -> int:
    """Ask again for what was never read or whose message was lost; returns how many."""
    fields = _version_fields()
    horizon = timezone.now() - older_than
    photos = Photo.objects.filter(owner__in=Profile.objects.annotatable())
    missing = photos.exclude(annotations__in=Annotation.objects.filter(**fields))
    stuck = photos.filter(
        annotations__in=Annotation.objects.filter(
            **fields, status=Annotation.Status.PENDING, updated_at__lte=horizon
        )
    )
    due = missing.filter(created_at__lte=horizon) | stuck
    ids = list(due.order_by("pk").values_list("pk", flat=True).distinct()[:limit])
    return len(request(ids).queued)


@transaction.atomic
def forget(profile_id: uuid.UUID) -> None:
    """Drop every reading of a person who no longer consents to being read."""
    rows = Annotation.objects.filter(photo__owner_id=profile_id)
    photo_ids = set(rows.values_list("photo_id", flat=True))
    rows.delete()
    for photo_id in photo_ids:
        _tell(photo_id, profile_id)


# Reading ------------------------------------------------------------------------------


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
    _tell(row.photo_id, row.photo.owner_id)


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
    """A failed gate quarantines; four passes publish; a moderator's word stands."""
    if photo.approval_source in {
        Photo.ApprovalSource.MODERATOR,
        Photo.ApprovalSource.CURATED,
    }:
        return
    failed = sorted(gate for gate, verdict in gates.items() if verdict == Verdict.FAIL)
    if failed:
        people.quarantine(photo.pk, reason=f"failed: {', '.join(failed)}")
    elif photo.status == Photo.Status.PENDING and all(
        gates.get(gate) == Verdict.PASS for gate in Gate
    ):
        people.approve(photo.pk, source=Photo.ApprovalSource.GATES)


def _tell(photo_id: uuid.UUID, profile_id: uuid.UUID) -> None:
    signals.photo_annotated.send(Annotation, photo_id=photo_id, profile_id=profile_id)


# Correcting ---------------------------------------------------------------------------


@transaction.atomic
def correct(
    photo: Photo,
    *,
    attribute: str,
    values: Sequence[str],
    reason: str,
    moderator: User | None,
) -> Correction:
    """Say what an attribute of a photo really is; no values means `not_visible`.

    Raises InvalidError for an unknown attribute or value, or without a reason.
    """
    if attribute not in BY_NAME:
        raise InvalidError(f"There is no attribute {attribute!r}.")
    if not reason.strip():
        raise InvalidError("A correction needs a reason.")
    correction = Correction.objects.create(
        photo=photo,
        attribute=attribute,
        distribution=certain(BY_NAME[attribute], values),
        reason=reason.strip(),
        moderator=moderator,
    )
    _tell(photo.pk, photo.owner_id)
    return correction


def certain(attribute: Attribute, values: Sequence[str]) -> dict[str, float]:
    """The distribution of somebody who knows; InvalidError if it cannot be."""
    unknown = set(values) - set(attribute.values)
    if unknown:
        raise InvalidError(
            f"{attribute.name} has no value {', '.join(sorted(unknown))}."
        )
    if attribute.kind is Kind.ONE and len(values) > 1:
        raise InvalidError(f"{attribute.name} takes one value.")
    known = {value: float(value in values) for value in attribute.values}
    return {NOT_VISIBLE: float(not values)} | known


@transaction.atomic
def withdraw_correction(correction: Correction) -> bool:
    """Take a correction back: what stood before it counts again. False if it was."""
    changed = Correction.objects.filter(
        pk=correction.pk, withdrawn_at__isnull=True
    ).update(withdrawn_at=timezone.now())
    if changed:
        _tell(correction.photo_id, correction.photo.owner_id)
    return bool(changed)


# Knowing ------------------------------------------------------------------------------


def effective_readings(
    photo_ids: Iterable[uuid.UUID],
) -> dict[uuid.UUID, EffectiveReading]:
    """What is seen in each photo; photos the active model has not read are absent."""
    ids = list(photo_ids)
    rows = Annotation.objects.done().filter(photo_id__in=ids, **_version_fields())
    corrections: dict[uuid.UUID, dict[str, Any]] = {}
    for photo_id, attribute, distribution in (
        Correction.objects.standing()
        .filter(photo_id__in=ids)
        .values_list("photo_id", "attribute", "distribution")
    ):
        corrections.setdefault(photo_id, {})[attribute] = distribution
    return {
        row.photo_id: _effective(row, corrections.get(row.photo_id, {})) for row in rows
    }


def _effective(row: Annotation, corrections: dict[str, Any]) -> EffectiveReading:
    known = {name: d for name, d in corrections.items() if name in BY_NAME}
    features = None
    if row.features is not None:
        features = np.frombuffer(row.features, FEATURES_TYPE).astype(np.float32)
    return EffectiveReading(
        attributes={**unseen_attributes(), **row.attributes, **known},
        features=features,
        model=row.model,
        corrected=frozenset(known),
    )


def reading_status(photo_id: uuid.UUID) -> tuple[str, str]:
    """("pending" | "done" | "failed" | "none", the failure's reason or "")."""
    row = (
        Annotation.objects.filter(photo_id=photo_id, **_version_fields())
        .values_list("status", "failure")
        .first()
    )
    return row or ("none", "")


def photo_or_404(photo_id: uuid.UUID, **scope: Any) -> Photo:
    """The photo within a scope of lookups; NotFoundError outside it."""
    photo = Photo.objects.filter(pk=photo_id, **scope).select_related("owner").first()
    if photo is None:
        raise NotFoundError("There is no such photo.")
    return photo
