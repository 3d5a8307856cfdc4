"""A batch of photos goes to the annotator; every one of them gets an outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache

from django.conf import settings
from django.db import Error, connection

from annotation.backends import annotator_version, get_annotator
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    BackendUnavailableError,
    Call,
    PermanentError,
    Reading,
    TransientError,
)
from annotation.models import Annotation, AnnotationQuerySet
from annotation.services import claiming
from annotation.services.claiming import BudgetSpentError, Claim, LeasedError
from annotation.services.settling import (
    COPY,
    Outcome,
    Settled,
    settle,
    stored_reading,
)
from profiles.models import Photo
from profiles.storage import annotation_bytes
from twinby.errors import NotFoundError, UnavailableError

logger = logging.getLogger(__name__)


def annotate(annotation_ids: Sequence[int], *, backend: str | None = None) -> int:
    """Read the photos of these pending rows; returns how many outcomes were recorded.

    What failed before is tried alone, without neighbours. Where the budget is spent or
    the back end cannot work here, the rows stay pending, without a counted attempt.

    Raises TransientError if a photo is to be read again later, LeasedError if somebody
    else holds one; the others are kept.
    """
    name = backend or settings.ANNOTATOR
    rows = claiming.due(name).filter(pk__in=annotation_ids)
    recorded, again = 0, None
    try:
        annotator = annotator_of(name)
        for claim in _claims(rows, name):
            settled = read(claim, annotator)
            recorded += settled.recorded
            again = settled.again or again
    except (BackendUnavailableError, BudgetSpentError) as error:
        warn_once(str(error))
        return recorded
    if again or rows.exists():
        raise again or LeasedError
    return recorded


def annotator_of(backend: str) -> Annotator:
    """The annotator, which must be what web processes take it for."""
    annotator = get_annotator(backend)
    if annotator.version != annotator_version(backend):
        raise TransientError("another-version")  # a worker of another release
    return annotator


@cache
def warn_once(message: str) -> None:
    """Say why nothing is read: once, however many batches meet it."""
    logger.warning("%s", message)


def _claims(rows: AnnotationQuerySet, backend: str) -> Iterator[Claim]:
    """Claims of the new rows together, then of each other alone."""
    claiming.close_exhausted(rows)
    attempts = dict(rows.order_by("pk").values_list("pk", "attempts"))
    fresh = [pk for pk, made in attempts.items() if made == 0]
    alone = [[pk] for pk, made in attempts.items() if made > 0]
    for ids in [fresh, *alone] if fresh else alone:
        some = rows.filter(pk__in=ids)
        claim = claiming.claim(some, backend=backend, limit=len(ids))
        if claim.rows:
            yield claim


def read(claim: Claim, annotator: Annotator) -> Settled:
    """Read what was claimed and write it down; nothing stays claimed, come what may."""
    try:
        return settle(claim, _outcomes(claim, annotator))
    finally:
        with suppress(Error):  # without a database, the lease runs out
            claiming.release(claim)


def _outcomes(claim: Claim, annotator: Annotator) -> list[Outcome]:
    """One outcome per row; the claim stays ours meanwhile."""
    try:
        with claiming.held(claim):
            return _read(claim.rows, annotator)
    except BackendUnavailableError:
        claiming.release(claim, attempts=1)
        raise
    except Exception:
        settle(claim, [TransientError("annotator-broke")] * len(claim.rows))
        raise


def _read(rows: Sequence[Annotation], annotator: Annotator) -> list[Outcome]:
    """One reading for equal bytes; a file that cannot be opened fails alone."""
    known = _readings_of_same_bytes(rows)
    found: dict[int, Outcome] = {}
    images: dict[int, bytes] = {}
    content = {row.pk: row.photo.sha256 for row in rows}
    asked: dict[str, int] = {}
    for row in rows:
        if content[row.pk] in known or content[row.pk] in asked:
            continue
        image = _image(row.photo)
        if isinstance(image, bytes):
            images[row.pk] = image
            asked[content[row.pk]] = row.pk
        else:
            found[row.pk] = image
    if not connection.in_atomic_block:
        connection.close()  # a slow model keeps no connection from others
    found |= zip(images, _ask(annotator, list(images.values())), strict=True)
    known |= {sha256: copy(found[pk]) for sha256, pk in asked.items()}
    return [found[pk] if pk in found else known[content[pk]] for pk in content]


def _readings_of_same_bytes(rows: Sequence[Annotation]) -> dict[str, Outcome]:
    """What this version has read of photos with these bytes, whosever they are."""
    contents = {row.photo.sha256 for row in rows}
    done = (
        claiming.same_version(rows[0])
        .done()
        .filter(photo__sha256__in=contents)
        .select_related("photo")
        .order_by("photo__sha256", "pk")
        .distinct("photo__sha256")
    )
    return {row.photo.sha256: copy(stored_reading(row)) for row in done}


def copy(outcome: Outcome) -> Outcome:
    """The same for another photo of the same bytes, which takes nothing."""
    if isinstance(outcome, Reading):
        return replace(outcome, seconds=0.0, calls=COPY)
    kind = PermanentError if isinstance(outcome, PermanentError) else TransientError
    return kind(outcome.reason)


def _image(photo: Photo) -> bytes | AnnotationError:
    try:
        return annotation_bytes(photo)
    except NotFoundError:
        return PermanentError("file-missing")
    except UnavailableError:
        return TransientError("storage-unavailable")


def _ask(annotator: Annotator, images: Sequence[bytes]) -> list[Outcome]:
    """One outcome per image; errors say what their share of the time was."""
    if not images:
        return []
    started = time.monotonic()
    try:
        outcomes = annotator.read(images)
    except TransientError as error:
        others = [TransientError(error.reason) for _ in images[1:]]
        outcomes = [error, *others]
    share = (time.monotonic() - started) / len(images)
    for outcome in outcomes:
        if isinstance(outcome, AnnotationError) and not outcome.calls:
            outcome.calls = (Call(share, outcome=outcome.reason),)
    return outcomes
