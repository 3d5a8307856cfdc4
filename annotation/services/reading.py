"""A batch of photos goes to the annotator; every one of them gets an outcome."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

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
from annotation.services import claiming, ledger
from annotation.services.claiming import BudgetSpentError, Claim, LeasedError
from annotation.services.settling import (
    BROKE,
    COPY,
    Outcome,
    Settled,
    is_counted,
    settle,
    stored_reading,
)
from profiles.models import Photo
from profiles.storage import annotation_bytes
from twinby.errors import NotFoundError, UnavailableError

logger = logging.getLogger(__name__)

WARNING_SECONDS = 3600.0
UNFETCHED = "storage-unavailable"  # the reason of a batch whose files are not given


class HourlyWarning:
    """Says why nothing is read: once an hour, however many batches meet it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}

    def __call__(self, message: str) -> None:
        now = self._clock()
        if now - self._said.get(message, -WARNING_SECONDS) >= WARNING_SECONDS:
            self._said[message] = now
            logger.warning("%s", message)


warn = HourlyWarning()


def annotate(annotation_ids: Sequence[int], *, backend: str | None = None) -> int:
    """Read the photos of these pending rows; returns how many outcomes were recorded.

    Where the budget is spent or the back end cannot work here, the rows stay pending,
    without a counted attempt.

    Raises TransientError if a photo is to be read again later, LeasedError if somebody
    else holds one; the others are kept.
    """
    name = backend or settings.ANNOTATOR
    rows = claiming.due(name).filter(pk__in=annotation_ids)
    recorded, again = 0, None
    try:
        annotator = annotator_of(name)
        for claim in _claims(rows, annotation_ids, name):
            settled = read(claim, annotator)
            recorded += settled.recorded
            again = settled.again or again
    except (BackendUnavailableError, BudgetSpentError) as error:
        warn(str(error))
        return recorded
    if again or (recorded < len({*annotation_ids}) and rows.exists()):
        raise again or LeasedError
    return recorded


def annotator_of(backend: str) -> Annotator:
    """The annotator, which must be what web processes take it for."""
    annotator = get_annotator(backend)
    if annotator.version != annotator_version(backend):
        raise TransientError("another-version")  # a worker of another release
    return annotator


def _claims(
    rows: AnnotationQuerySet, annotation_ids: Sequence[int], backend: str
) -> Iterator[Claim]:
    """Claims of the rows, each once, until none is left that can be claimed."""
    ids = set(annotation_ids)
    while ids:
        some = rows.filter(pk__in=ids)
        claim = claiming.claim(some, backend=backend, limit=len(ids))
        if not claim.rows:
            return
        ids -= {row.pk for row in claim.rows}
        yield claim


def read(claim: Claim, annotator: Annotator) -> Settled:
    """Read what was claimed and write it down; then nothing of it is claimed any more.

    What cannot be written stays claimed: its lease runs out, and it counts as lost.
    """
    asked: list[int] = []
    try:
        with claiming.held(claim):
            outcomes = _read(claim.rows, annotator, asked)
    except BackendUnavailableError as error:
        settle(claim, _nobodys_fault(claim, asked, error))
        raise
    except Exception:
        settle(claim, _broken(claim, asked))
        raise
    except BaseException:  # the worker's time is up, or somebody has interrupted it
        with suppress(Error):
            claiming.give_up(claim, asked)
        raise
    return settle(claim, outcomes)


def _nobodys_fault(
    claim: Claim, asked: Sequence[int], error: BackendUnavailableError
) -> list[Outcome]:
    calls = dict(zip(asked, error.calls, strict=False))
    return [
        TransientError("unavailable", calls.get(row.pk, ()), counted=False)
        for row in claim.rows
    ]


def _broken(claim: Claim, asked: Sequence[int]) -> list[Outcome]:
    """What an annotator has paid before it broke, it cannot tell: the worst counts."""
    worst = Call(0.0, outcome=BROKE, cost_usd=ledger.worst(claim.backend))
    return [
        TransientError(BROKE, (worst,) if row.pk in asked else ()) for row in claim.rows
    ]


def _read(
    rows: Sequence[Annotation], annotator: Annotator, asked: list[int]
) -> list[Outcome]:
    """One reading for equal bytes; a file that is not there fails alone.

    `asked` gets the rows that the annotator is asked about, before it is.
    """
    known = _readings_of_same_bytes(rows)
    content = {row.pk: row.photo.sha256 for row in rows}
    images, found = _fetched([row for row in rows if content[row.pk] not in known])
    if not connection.in_atomic_block:
        connection.close()  # a slow model keeps no connection from others
    asked += images
    answers = dict(zip(images, _ask(annotator, list(images.values())), strict=True))
    known |= {content[pk]: copy(outcome) for pk, outcome in answers.items()}
    found |= answers
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
    if isinstance(outcome, PermanentError):
        return PermanentError(outcome.reason, COPY)
    return TransientError(outcome.reason, COPY, counted=is_counted(outcome))


def _fetched(
    rows: Sequence[Annotation],
) -> tuple[dict[int, bytes], dict[int, Outcome]]:
    """One image for equal bytes, in the order of the rows, and errors of other rows.

    Once the storage fails, it is asked for no more: each photo might wait as long. Whom
    it is asked for first is drawn by lot, so that a photo at which it always fails does
    not keep the same others waiting for ever.
    """
    same: dict[str, list[Annotation]] = {}
    for row in rows:
        same.setdefault(row.photo.sha256, []).append(row)
    images: dict[int, bytes] = {}
    errors: dict[int, Outcome] = {}
    down: TransientError | None = None
    for twins in random.sample([*same.values()], len(same)):
        for row in twins:
            image = down or _image(row.photo)
            if isinstance(image, bytes):
                images[row.pk] = image
                break
            errors[row.pk] = image
            down = image if isinstance(image, TransientError) else None
    return {row.pk: images[row.pk] for row in rows if row.pk in images}, errors


def _image(photo: Photo) -> bytes | AnnotationError:
    try:
        return annotation_bytes(photo)
    except NotFoundError:
        return PermanentError("file-missing")
    except UnavailableError:
        return TransientError(UNFETCHED, counted=False)


def _ask(annotator: Annotator, images: Sequence[bytes]) -> list[Outcome]:
    """One outcome per image; errors say what their share of the time was."""
    if not images:
        return []
    started = time.monotonic()
    try:
        outcomes = annotator.read(images)
    except TransientError as error:
        reason, counted = error.reason, error.counted
        others = [TransientError(reason, counted=counted) for _ in images[1:]]
        outcomes = [error, *others]
    share = (time.monotonic() - started) / len(images)
    for outcome in outcomes:
        if not isinstance(outcome, AnnotationError) or not is_counted(outcome):
            continue
        if not outcome.calls:
            outcome.calls = (Call(share, outcome=outcome.reason),)
    return outcomes
