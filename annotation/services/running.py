"""A whole base read by one process: in chunks, resumable, beside any others."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
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
from annotation.services.claiming import MAX_ATTEMPTS, BudgetSpentError, Claim
from annotation.services.reading import annotator_of, read
from annotation.services.requesting import add_rows, unread
from annotation.services.settling import Settled
from profiles.models import Photo, PhotoQuerySet, Profile

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 60.0
NO_LIMIT = 10**12


@dataclass(frozen=True)
class Result:
    """What became of a run: `left` photos are to be read yet, and `reason` says why."""

    read: int
    failed: int
    copied: int
    left: int
    seconds: float
    reason: str


class Run:
    """Reads what one back end has not read of the photos that there are at its start.

    `workers` threads claim, read and settle in turn, so that the model has its next
    photos while the last ones are written. A run that ended early is run again.
    """

    def __init__(
        self,
        *,
        backend: str | None = None,
        since: dt.datetime | None = None,
        limit: int | None = None,
        workers: int = 2,
    ) -> None:
        self.backend = backend or settings.ANNOTATOR
        self.version = annotator_version(self.backend)
        self.since = since
        self.until = timezone.now()
        self.workers = workers
        self.reason = ""
        self._limit = self._room = NO_LIMIT if limit is None else limit
        self._counts = {"read": 0, "failed": 0, "copied": 0}
        self._over = threading.Event()
        self._all_asked_for = threading.Event()
        self._lock = threading.Lock()

    def left(self) -> int:
        """How many photos are to be read yet, by whomever."""
        return self._rows().count() + unread(self._photos(), self.version).count()

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
            **self._counts, left=self.left(), seconds=seconds, reason=self.reason
        )

    def _photos(self) -> PhotoQuerySet:
        photos = Photo.objects.filter(owner__in=Profile.objects.annotatable())
        created = Q(created_at__lte=self.until)
        if self.since:
            created &= Q(created_at__gte=self.since)
        return photos.filter(created)

    def _rows(self) -> AnnotationQuerySet:
        """The pending rows of this run, whoever holds them."""
        rows = claiming.due(self.backend).filter(photo__created_at__lte=self.until)
        return rows.filter(photo__created_at__gte=self.since) if self.since else rows

    def _ask_for_all(self) -> None:
        """Adds the rows that are missing while the first ones are being read."""
        try:
            missing = max(0, self._limit - self._rows().count())
            for _ in add_rows(self._photos(), self.version, limit=missing):
                if self._over.is_set():
                    return
            self._all_asked_for.set()
        except BaseException:
            self.stop("failed")
            raise

    def _work(self, step: Callable[[int], None]) -> None:
        """What each thread does until nothing is left, or somebody says stop."""
        failures = 0
        try:
            while not self._over.is_set():
                settled = self._turn(last_try=failures >= MAX_ATTEMPTS)
                if settled is None:
                    return
                self._count(settled, step)
                failures = failures + 1 if settled.again and not settled.recorded else 0
                if failures:
                    self._over.wait(min(2.0**failures, LONGEST_PAUSE_SECONDS))
        except BudgetSpentError as error:
            self.stop(str(error))
        except BaseException:
            self.stop("failed")
            raise
        finally:
            connection.close()

    def _turn(self, *, last_try: bool) -> Settled | None:
        """Claims, reads and settles once; None where there is nothing left to do."""
        wanted, settled = self._reserve(), Settled()
        try:
            claim = self._claim(wanted)
            if claim.rows:
                settled = read(claim, annotator_of(self.backend))
            elif not wanted or self._is_finished():
                return None
            else:  # others read what is left, or equal bytes, or it is being added
                self._over.wait(POLL_SECONDS)
        except BudgetSpentError:
            raise
        except BackendUnavailableError as error:
            # What has worked before may be a server that is being restarted.
            if last_try or not self._counts["read"]:
                raise
            logger.warning("%s Trying again.", error)
            settled = Settled(again=TransientError("unavailable"))
        except Exception as error:
            if last_try:
                raise
            logger.warning("A batch broke: %s", type(error).__name__)
            connection.close()
            settled = Settled(again=TransientError("broken"))
        finally:
            self._give_back(wanted - settled.recorded)
        return settled

    def _claim(self, limit: int) -> Claim:
        """The next new rows; where there are none, one that failed before, alone."""
        rows = self._rows()
        new = rows.filter(attempts=0)
        claim = claiming.claim(new, backend=self.backend, limit=limit)
        if claim.rows or not limit:
            return claim
        claiming.close_exhausted(rows)
        again = rows.filter(attempts__gt=0)
        return claiming.claim(again, backend=self.backend, limit=1)

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
            step(settled.recorded)
