"""A whole base read by one process: in chunks, resumable, beside any others."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from annotation.backends import annotator_version, batch_size
from annotation.backends.base import BackendUnavailableError, TransientError
from annotation.models import AnnotationQuerySet
from annotation.services import claiming
from annotation.services.claiming import MAX_ATTEMPTS, BudgetSpentError
from annotation.services.gating import catch_up
from annotation.services.reading import UNFETCHED, annotator_of, read, warn
from annotation.services.requesting import add_rows, ask_again, unhurried, unread
from annotation.services.settling import Settled
from profiles.models import Photo, PhotoQuerySet, Profile

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
PAUSES_SECONDS = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # the last one again and again
NO_LIMIT = 10**12
# So many failures without a reading are about the annotator, not about the photos.
HOPELESS = 64
NO_STORAGE = (
    "The storage gives none of the photos that are left: see why, and run it again."
)


@dataclass(frozen=True)
class Result:
    """What became of a run: `left` photos are to be read yet, and `reason` says why.

    `failures`: how many photos have failed, by reason.
    """

    read: int
    failed: int
    copied: int
    failures: dict[str, int]
    left: int
    seconds: float
    reason: str


class Run:
    """Reads what one back end has not read of the photos that there are at its start.

    `workers` threads claim, read and settle in turn, so that the model has its next
    photos while the last ones are written. A run that ended early is run again. What
    has `failed` before the start is read again if wanted.
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        since: dt.datetime | None = None,
        limit: int | None = None,
        workers: int = 2,
        failed: bool = False,
    ) -> None:
        self.backend = backend or settings.ANNOTATOR
        self.version = annotator_version(self.backend)
        self.since = since
        self.until = timezone.now()
        self.workers = workers
        self.failed = failed
        self.reason = ""
        self._limit = limit
        self._room = NO_LIMIT if limit is None else limit
        self._counts = {"read": 0, "failed": 0, "copied": 0}
        self._failures: Counter[str] = Counter()
        self._over = threading.Event()
        self._all_asked_for = threading.Event()
        self._lock = threading.Lock()

    def left(self) -> int:
        """How many photos are to be read yet, by whomever: minutes for ten millions."""
        with unhurried():
            failed = self._failed().count() if self.failed else 0
            missing = unread(self._photos(), self.version).count()
            return self._rows().count() + failed + missing

    def stop(self, reason: str) -> None:
        """End after the batches under way, which are settled; nothing stays claimed."""
        self.reason = self.reason or reason
        self._over.set()

    def run(self, step: Callable[[int], None] = lambda photos: None) -> Result:
        """Read until nothing is left; `step` is told of every few photos.

        Raises BackendUnavailableError where nothing can be read from the start, and
        what broke again and again.
        """
        started = time.monotonic()
        with ThreadPoolExecutor(self.workers, "reading") as pool:
            working = [pool.submit(self._work, step) for _ in range(self.workers)]
            self._ask_for_all()
        for worker in working:
            worker.result()
        seconds = time.monotonic() - started
        return Result(
            **self._counts,
            failures=dict(self._failures.most_common()),
            left=self.left(),
            seconds=seconds,
            reason=self.reason,
        )

    def _photos(self) -> PhotoQuerySet:
        photos = Photo.objects.filter(owner__in=Profile.objects.annotatable())
        created = Q(created_at__lte=self.until)
        if self.since:
            created &= Q(created_at__gte=self.since)
        return photos.filter(created)

    def _rows(self) -> AnnotationQuerySet:
        """The pending rows of this run, whoever holds them."""
        return self._within(claiming.due(self.backend))

    def _failed(self) -> AnnotationQuerySet:
        """What had failed when this run began; what fails in it has had its turn."""
        rows = claiming.readable(self.backend).failed()
        return self._within(rows).filter(updated_at__lte=self.until)

    def _within(self, rows: AnnotationQuerySet) -> AnnotationQuerySet:
        rows = rows.filter(photo__created_at__lte=self.until)
        return rows.filter(photo__created_at__gte=self.since) if self.since else rows

    def _ask_for_all(self) -> None:
        """Adds the rows that are missing while the first ones are being read."""
        try:
            if self.version == annotator_version():
                catch_up()
            if self.failed:
                for _ in ask_again(self._failed(), limit=self._missing()):
                    if self._over.is_set():
                        return
            photos = self._photos()
            for _ in add_rows(photos, self.version, limit=self._missing()):
                if self._over.is_set():
                    return
            self._all_asked_for.set()
        except BaseException:
            self.stop("failed")
            raise

    def _missing(self) -> int | None:
        """How many rows more than are pending the limit allows, if there is one."""
        if self._limit is None:
            return None
        with unhurried():
            return self._limit - self._rows()[: self._limit].count()

    def _work(self, step: Callable[[int], None]) -> None:
        """What each thread does until nothing is left, or somebody says stop."""
        try:
            self._take_turns(step)
        except BudgetSpentError as error:
            self.stop(str(error))
        except BaseException:
            self.stop("failed")
            raise
        finally:
            connection.close()

    def _take_turns(self, step: Callable[[int], None]) -> None:
        errors = fruitless = 0
        while not self._over.is_set():
            try:
                settled = self._turn()
            except BudgetSpentError:
                raise
            except Exception as error:
                errors += 1
                if not self._may_pass(error, errors):
                    raise
                settled = Settled(again=TransientError("broken"))
            if settled is None:
                return
            self._count(settled, step)
            if settled.recorded:
                errors = fruitless = 0
            elif settled.again:
                fruitless += 1
                self._rest(settled.again, fruitless)

    def _may_pass(self, error: Exception, errors: int) -> bool:
        """Whether to go on after so many errors in a row."""
        unavailable = isinstance(error, BackendUnavailableError)
        # What has worked before may be a server that is being restarted.
        if errors > MAX_ATTEMPTS or (unavailable and not self._counts["read"]):
            return False
        if unavailable:
            warn(f"{error} Trying again.")
        else:
            logger.warning("A batch broke: %s", type(error).__name__)
            connection.close()
        return True

    def _rest(self, again: TransientError, fruitless: int) -> None:
        """A pause after so many turns in a row without an outcome, `again` the last.

        The end, where it is the storage that gives nothing for so long.
        """
        if again.reason == UNFETCHED and fruitless > MAX_ATTEMPTS:
            if not self._counts["read"]:
                raise BackendUnavailableError(NO_STORAGE)
            self.stop(NO_STORAGE)
        self._over.wait(PAUSES_SECONDS[:fruitless][-1])

    def _turn(self) -> Settled | None:
        """Claims, reads and settles once; None where there is nothing left to do."""
        # Before anything is claimed: it may take long, or fail.
        annotator = annotator_of(self.backend)
        wanted, settled = self._reserve(), Settled()
        try:
            claim = claiming.claim(self._rows(), backend=self.backend, limit=wanted)
            if claim.rows:
                settled = read(claim, annotator)
            elif not wanted or self._is_finished():
                return None
            else:  # others read what is left, or equal bytes, or it is being added
                self._over.wait(POLL_SECONDS)
        finally:
            self._give_back(wanted - settled.recorded)
        return settled

    def _is_finished(self) -> bool:
        return self._all_asked_for.is_set() and not self._rows().exists()

    def _reserve(self) -> int:
        """How many photos the next claim may have, within the limit."""
        with self._lock:
            wanted = min(self._room, batch_size(self.backend))
            self._room -= wanted
            return wanted

    def _give_back(self, photos: int) -> None:
        with self._lock:
            self._room += photos

    def _count(self, settled: Settled, step: Callable[[int], None]) -> None:
        with self._lock:
            for name in self._counts:
                self._counts[name] += getattr(settled, name)
            self._failures.update(settled.reasons)
            step(settled.recorded)
        if self._counts["failed"] >= HOPELESS and not self._counts["read"]:
            self.stop("None of the first photos could be read: see why, before more.")
