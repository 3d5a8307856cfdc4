"""Images that are read at once and have no row: paid and tried again as all others."""

from __future__ import annotations

from collections.abc import Sequence
from time import sleep

from django.db import transaction

from annotation.backends import annotator_version
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    BackendUnavailableError,
    TransientError,
)
from annotation.models import Annotation
from annotation.services import ledger
from annotation.services.claiming import BudgetSpentError
from annotation.services.reading import annotator_of
from annotation.services.requesting import version_fields
from annotation.services.settling import Outcome, calls_of

# A server that is busy or starting anew is mostly back within a minute.
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


def read_now(backend: str, images: Sequence[bytes]) -> list[Outcome]:
    """One outcome per image, transient only if waiting did not help.

    Every try is in the ledger, as those of photos are. Raises BudgetSpentError before
    an image that today's budget may not pay for, and BackendUnavailableError.
    """
    fields = version_fields(annotator_version(backend))
    rows = [Annotation(**fields) for _ in images]  # what the ledger counts by; not kept
    found: dict[int, Outcome] = {}
    left = list(range(len(images)))
    for pause in (0.0, *PAUSES_SECONDS):
        sleep(pause)
        some = [images[place] for place in left]
        outcomes = _within_budget(backend, some, [rows[place] for place in left])
        found |= zip(left, outcomes, strict=True)
        left = [place for place in left if isinstance(found[place], TransientError)]
        if not left:
            break
    return [found[place] for place in range(len(images))]


def faults(outcomes: Sequence[Outcome]) -> str:
    """Why some of them are no readings, in words such as "busy, refused"."""
    errors = (o for o in outcomes if isinstance(o, AnnotationError))
    return ", ".join(sorted({error.reason for error in errors}))


def _within_budget(
    backend: str, images: Sequence[bytes], rows: Sequence[Annotation]
) -> list[Outcome]:
    """One outcome per image; as many at a time as the budget pays for."""
    annotator, outcomes = annotator_of(backend), list[Outcome]()
    while len(outcomes) < len(images):
        start = len(outcomes)
        end = start + ledger.affordable(len(images) - start, backend)
        if end == start:
            raise BudgetSpentError
        outcomes += _entered(annotator, images[start:end], rows[start:end])
    return outcomes


def _entered(
    annotator: Annotator, images: Sequence[bytes], rows: Sequence[Annotation]
) -> list[Outcome]:
    """One outcome per image, and their tries in the ledger, come what may."""
    try:
        outcomes = _asked(annotator, images)
    except BackendUnavailableError as error:
        with transaction.atomic():
            ledger.write(zip(rows, error.calls, strict=False))
        raise
    except BaseException:
        with transaction.atomic():
            ledger.write_lost(rows)
        raise
    tries = [calls_of(outcome) for outcome in outcomes]
    with transaction.atomic():
        ledger.write(zip(rows, tries, strict=True))
    for row, calls in zip(rows, tries, strict=True):
        row.tries += ledger.number_of_tries(calls)
    return outcomes


def _asked(annotator: Annotator, images: Sequence[bytes]) -> list[Outcome]:
    try:
        return list(annotator.read(images))
    except TransientError as error:
        others = [TransientError(error.reason) for _ in images[1:]]
        return [error, *others]
