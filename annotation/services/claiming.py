"""Who reads which photos: a lease instead of locks, so that nobody waits for a model.

Times are the database's: the clocks of workers do not matter.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from django.db import Error, connection, transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from annotation.backends import annotator_version
from annotation.backends.base import TransientError
from annotation.models import Annotation, AnnotationQuerySet
from annotation.services import ledger
from annotation.services.requesting import version_fields
from profiles.models import Profile

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 8
# Two renewals may fail; a dead worker's rows are free again after so long.
LEASE = dt.timedelta(seconds=15)
RENEW_SECONDS = 5.0
CLAIMING = 0x747769  # the number of the advisory lock under which rows are claimed


class LeasedError(TransientError):
    """Somebody else is reading these photos, or was until a moment ago."""

    def __init__(self) -> None:
        super().__init__("leased")


class BudgetSpentError(Exception):
    """Today's budget does not pay for another photo."""

    def __init__(self) -> None:
        super().__init__(
            f"The budget of {timezone.now():%Y-%m-%d} (TWINBY_DAILY_BUDGET_USD) is "
            "spent: photos wait until midnight UTC."
        )


@dataclass(frozen=True)
class Claim:
    """Rows that are ours to read, as long as nobody else's lease is on them."""

    lease: uuid.UUID
    backend: str
    rows: tuple[Annotation, ...]

    def ours(self) -> AnnotationQuerySet:
        """Those of the rows that nobody has taken from us."""
        ids = [row.pk for row in self.rows]
        return Annotation.objects.pending().filter(pk__in=ids, lease=self.lease)


def readable(backend: str) -> AnnotationQuerySet:
    """All rows of this back end's version, of people who consent to being read."""
    return Annotation.objects.filter(
        photo__owner__in=Profile.objects.annotatable(),
        **version_fields(annotator_version(backend)),
    )


def due(backend: str) -> AnnotationQuerySet:
    """Those of them that wait to be read."""
    return readable(backend).pending()


def same_version(row: Annotation) -> AnnotationQuerySet:
    """All rows whose readings may stand for one another where the bytes are equal."""
    return Annotation.objects.filter(
        backend=row.backend,
        model=row.model,
        prompt_version=row.prompt_version,
        schema_version=row.schema_version,
    )


def free(rows: AnnotationQuerySet) -> AnnotationQuerySet:
    """Those of the rows that nobody holds."""
    return rows.filter(Q(leased_until__isnull=True) | Q(leased_until__lt=Now()))


@transaction.atomic
def claim(rows: AnnotationQuerySet, *, backend: str, limit: int) -> Claim:
    """Take at most `limit` of these rows, the least tried first; count the attempt.

    1. One claim at a time, which takes milliseconds: so many workers together keep to
       the budget, and never read the same bytes at once.
    2. Whose worker has died may be why: it is read alone, after all others.
    3. The attempt is counted before it is made: a photo that kills its worker runs out
       of attempts as well, and is closed.

    Raises BudgetSpentError where there are rows, but no money for one.
    """
    _wait_for_our_turn()
    found = _locked(rows, limit)
    _mark_lost([row for row in found if row.lease])
    _close([row for row in found if row.attempts >= MAX_ATTEMPTS])
    waiting = [row for row in found if row.attempts < MAX_ATTEMPTS]
    together = [row for row in waiting if not row.alone]
    taken = _unlike_others(together or waiting[:1])
    paid = taken[: ledger.affordable(len(taken), backend)]
    if taken and not paid and ledger.is_spent(backend):
        raise BudgetSpentError
    claimed = Claim(uuid.uuid4(), backend, tuple(paid))
    Annotation.objects.filter(pk__in=[row.pk for row in paid]).update(
        lease=claimed.lease, leased_until=Now() + LEASE, attempts=F("attempts") + 1
    )
    for row in paid:
        row.attempts += 1
    return claimed


def _wait_for_our_turn() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIMING])


def _locked(rows: AnnotationQuerySet, limit: int) -> list[Annotation]:
    unlocked = free(rows).select_for_update(skip_locked=True, of=("self",))
    in_order = unlocked.order_by("alone", "attempts", "pk")
    return list(in_order.select_related("photo")[:limit])


def _mark_lost(rows: Sequence[Annotation]) -> None:
    """Enter the tries of which nobody will tell, and free the rows."""
    ledger.write_lost(rows)
    Annotation.objects.filter(pk__in=[row.pk for row in rows]).update(
        lease=None, leased_until=None, alone=True, tries=F("tries") + 1
    )
    for row in rows:
        row.alone = True
        row.tries += 1


def _close(rows: Sequence[Annotation]) -> None:
    Annotation.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Annotation.Status.FAILED,
        failure="too-many-attempts",
        updated_at=timezone.now(),
    )


def _unlike_others(rows: Sequence[Annotation]) -> list[Annotation]:
    """The rows but those whose bytes somebody is reading: they will be copies."""
    if not rows:
        return []
    being_read = set(
        same_version(rows[0])
        .pending()
        .filter(
            leased_until__gte=Now(),
            photo__sha256__in={row.photo.sha256 for row in rows},
        )
        .values_list("photo__sha256", flat=True)
    )
    return [row for row in rows if row.photo.sha256 not in being_read]


@contextmanager
def held(claimed: Claim) -> Iterator[None]:
    """Keeps a claim ours for as long as the model may take."""
    over = threading.Event()
    beat = threading.Thread(target=_renew, args=[claimed, over], daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


def _renew(claimed: Claim, over: threading.Event) -> None:
    """Renews a lease again and again, over a connection of this thread's own.

    It is given back after every beat: claims may be held for long, and by many.
    """
    while not over.wait(RENEW_SECONDS):
        try:
            _renew_once(claimed)
        finally:
            connection.close()


def _renew_once(claimed: Claim) -> None:
    try:
        _prolong(claimed)
    except Error as error:  # the next beat tries again, over a new connection
        logger.warning("A lease could not be renewed: %s", type(error).__name__)


@transaction.atomic
def _prolong(claimed: Claim) -> None:
    """Without waiting for a row that is being erased: whoever waits may deadlock."""
    unlocked = claimed.ours().select_for_update(skip_locked=True)
    Annotation.objects.filter(pk__in=unlocked.values("pk")).update(
        leased_until=Now() + LEASE
    )


def release(claimed: Claim) -> None:
    """Give up a claim before anybody was asked: the attempts are given back."""
    claimed.ours().update(lease=None, leased_until=None, attempts=F("attempts") - 1)


@transaction.atomic
def give_up(claimed: Claim, asked: Collection[int]) -> None:
    """Free a claim in the middle of reading; rows that were asked about are lost."""
    ours = claimed.ours().select_for_update().order_by("pk")
    lost = [row for row in ours if row.pk in asked]
    release(replace(claimed, rows=tuple(r for r in ours if r.pk not in asked)))
    _mark_lost(lost)
