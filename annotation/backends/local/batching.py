"""Many callers, one worker: single items in, batches of a kind to the worker.

One thread does the work, since it owns a model. It takes a bucket's items as soon as
there are enough for a batch, or once the oldest of them has waited long enough. Pure
threading: nothing is known here of photos or models.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Generic, TypeVar

Bucket = TypeVar("Bucket", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")

WAIT_SECONDS: Final = 0.015
# So much may wait, in batches: the next one is ready, and callers feel the pace.
WAITING_BATCHES: Final = 4
# Full batches without trouble before a limit is tried doubled again.
PATIENCE: Final = 32


class ClosedError(Exception):
    """The batcher takes nothing any more, or its thread has ended."""


@dataclass(eq=False)
class _Waiting(Generic[Item, Answer]):
    item: Item
    future: Future[Answer] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


@dataclass
class _Limit:
    """How many items of a bucket fit: halved when it proves too much, then regrown.

    Each halving doubles the patience, so that failing becomes ever rarer.
    """

    most: int
    size: int
    patience: int = PATIENCE
    good: int = 0

    def too_much(self, items: int) -> None:
        self.size = max(1, items // 2)
        self.patience *= 2
        self.good = 0

    def went_well(self, items: int) -> None:
        self.good += items >= self.size
        if self.good >= self.patience:
            self.size = min(self.most, self.size * 2)
            self.good = 0


class Batcher(Generic[Bucket, Item, Answer]):
    """Calls `work(bucket, items)`, which gives one answer per item, in its own thread.

    1. A batch has at most `size` items; none waits longer than `wait_seconds` for more.
    2. An error of the kinds `exhausted` says that a batch was too large: it is halved,
       and the bucket's batches stay smaller for a while.
    3. One of the kinds `broken` is no item's fault: the whole batch gets it.
    4. After any other error the halves are tried, so that the item that causes it gets
       it alone, and its neighbours get their answers.
    """

    def __init__(
        self,
        work: Callable[[Bucket, list[Item]], Sequence[Answer]],
        *,
        size: int,
        wait_seconds: float = WAIT_SECONDS,
        exhausted: tuple[type[Exception], ...] = (MemoryError,),
        broken: tuple[type[Exception], ...] = (),
    ) -> None:
        self._work = work
        self._size = size
        self._wait_seconds = wait_seconds
        self._exhausted = exhausted
        self._broken = broken
        self._queues: dict[Bucket, deque[_Waiting[Item, Answer]]] = {}
        self._limits: dict[Bucket, _Limit] = {}
        self._closed = False
        lock = threading.Lock()
        self._arrived = threading.Condition(lock)
        self._taken = threading.Condition(lock)
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, bucket: Bucket, item: Item) -> Future[Answer]:
        """The future answer; waits while too much is waiting. Raises ClosedError."""
        waiting = _Waiting[Item, Answer](item)
        with self._taken:
            self._taken.wait_for(lambda: self._closed or not self._is_full())
            if self._closed:
                raise ClosedError
            self._queues.setdefault(bucket, deque()).append(waiting)
            self._arrived.notify()
        return waiting.future

    def close(self) -> None:
        """Take nothing more, finish what was taken, and end the thread."""
        self._stop_taking()
        self._thread.join()

    def _stop_taking(self) -> None:
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
            self._taken.notify_all()

    def _is_full(self) -> bool:
        waiting = sum(map(len, self._queues.values()))
        return waiting >= WAITING_BATCHES * self._size

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._answer(*batch)
        finally:  # whatever ended the thread, nobody waits for it in vain
            self._stop_taking()
            left = chain.from_iterable(self._queues.values())
            _fail(filter(_is_wanted, left), ClosedError())

    def _next(self) -> tuple[Bucket, list[_Waiting[Item, Answer]]] | None:
        """The batch that is due, as soon as one is; None when all is done."""
        with self._arrived:
            while True:
                due = [bucket for bucket in self._queues if self._is_due(bucket)]
                if due:
                    return self._take(min(due, key=self._oldest))
                if self._closed:
                    return None
                self._arrived.wait(self._seconds_left())

    def _is_due(self, bucket: Bucket) -> bool:
        enough = len(self._queues[bucket]) >= self._limit(bucket).size
        waited = time.monotonic() - self._oldest(bucket)
        return enough or self._closed or waited >= self._wait_seconds

    def _oldest(self, bucket: Bucket) -> float:
        return self._queues[bucket][0].since

    def _seconds_left(self) -> float | None:
        """Until the next batch is due, unless more arrives; None with nothing to do."""
        if not self._queues:
            return None
        oldest = min(map(self._oldest, self._queues))
        return max(0.0, oldest + self._wait_seconds - time.monotonic())

    def _take(self, bucket: Bucket) -> tuple[Bucket, list[_Waiting[Item, Answer]]]:
        queue = self._queues[bucket]
        count = min(len(queue), self._limit(bucket).size)
        batch = [queue.popleft() for _ in range(count)]
        if not queue:
            del self._queues[bucket]
        self._taken.notify_all()
        return bucket, batch

    def _limit(self, bucket: Bucket) -> _Limit:
        return self._limits.setdefault(bucket, _Limit(self._size, self._size))

    def _answer(self, bucket: Bucket, batch: list[_Waiting[Item, Answer]]) -> None:
        wanted = list(filter(_is_wanted, batch))
        try:
            self._settle(bucket, wanted)
        finally:
            _fail([one for one in wanted if not one.future.done()], ClosedError())

    def _settle(self, bucket: Bucket, items: list[_Waiting[Item, Answer]]) -> None:
        """Give every item its answer or its error, in parts where a batch fails."""
        limit = self._limit(bucket)
        while items:
            part, items = items[: limit.size], items[limit.size :]
            error = self._try(bucket, part)
            if error is None:
                limit.went_well(len(part))
            elif len(part) == 1 or isinstance(error, self._broken):
                _fail(part, error)
            elif isinstance(error, self._exhausted):
                limit.too_much(len(part))
                items = part + items
            else:
                middle = len(part) // 2
                self._settle(bucket, part[:middle])
                self._settle(bucket, part[middle:])

    def _try(
        self, bucket: Bucket, part: list[_Waiting[Item, Answer]]
    ) -> Exception | None:
        """Answers all of them, or gives the error."""
        try:
            answers = self._work(bucket, [one.item for one in part])
            answered = list(zip(part, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - told to those who wait for it
            return error.with_traceback(None)  # whose frames hold the batch's memory
        for one, answer in answered:
            one.future.set_result(answer)
        return None


def _is_wanted(one: _Waiting[Item, Answer]) -> bool:
    """Whether somebody still waits; from now on it can no longer be cancelled."""
    return one.future.set_running_or_notify_cancel()


def _fail(batch: Iterable[_Waiting[Item, Answer]], error: Exception) -> None:
    for one in batch:
        one.future.set_exception(error)
