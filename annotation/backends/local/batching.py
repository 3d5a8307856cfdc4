"""Many callers, one worker: single items in, batches of a kind to the worker.

One thread does the work, since it owns a model. It takes a bucket's items as soon as
there are enough for a batch, or once the oldest of them has waited long enough. A batch
is first begun and later finished, so that a device need not wait for the next. Pure
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
# Full batches that may go before a part of one that is due and older.
MOST_PASSED: Final = 8
# Full batches without trouble before a limit is tried doubled again.
PATIENCE: Final = 32


class ClosedError(Exception):
    """The batcher takes nothing any more, or its thread has ended."""


@dataclass(eq=False)
class _Waiting(Generic[Item, Answer]):
    item: Item
    future: Future[Answer] = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


@dataclass(eq=False)
class _Batch(Generic[Bucket, Item, Answer]):
    """Items of a bucket on their way through the worker."""

    bucket: Bucket
    items: list[_Waiting[Item, Answer]]
    finish: Callable[[], Sequence[Answer]] | None = None
    error: Exception | None = None

    def begin(
        self, work: Callable[[Bucket, list[Item]], Callable[[], Sequence[Answer]]]
    ) -> None:
        """Hand it to the worker. What goes wrong is told when it is answered."""
        if not self.items:
            return
        try:
            self.finish = work(self.bucket, [one.item for one in self.items])
        except Exception as error:  # noqa: BLE001 - told to those who wait for it
            self.error = error.with_traceback(None)  # whose frames hold memory

    def answer(self) -> Exception | None:
        """Answers all of them, or gives the error."""
        finish, self.finish = self.finish, None
        if finish is None:
            return self.error
        try:
            answered = list(zip(self.items, finish(), strict=True))
        except Exception as error:  # noqa: BLE001 - as above
            return error.with_traceback(None)
        for one, answer in answered:
            one.future.set_result(answer)
        return None


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
    """Calls `work(bucket, items)` in its own thread, and later what that gives.

    The first begins the work, the second gives one answer per item. Up to `under_way`
    batches are begun before the oldest of them is finished.

    1. A batch has at most `size` items; none waits longer than `wait_seconds` for more,
       but full batches go first, a few times.
    2. An error of the kinds `exhausted` says that a batch was too large: it is halved,
       and the bucket's batches stay smaller for a while.
    3. One of the kinds `broken` is no item's fault: the whole batch gets it.
    4. After any other error the halves are tried, so that the item that causes it gets
       it alone, and its neighbours get their answers.
    """

    def __init__(
        self,
        work: Callable[[Bucket, list[Item]], Callable[[], Sequence[Answer]]],
        *,
        size: int,
        under_way: int = 1,
        wait_seconds: float = WAIT_SECONDS,
        exhausted: tuple[type[Exception], ...] = (MemoryError,),
        broken: tuple[type[Exception], ...] = (),
    ) -> None:
        self._work = work
        self._size = size
        self._under_way = under_way
        self._begun: deque[_Batch[Bucket, Item, Answer]] = deque()
        self._passed = 0
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
            self._taken.wait_for(lambda: self._closed or not self._is_crowded())
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

    def _is_crowded(self) -> bool:
        waiting = sum(map(len, self._queues.values()))
        return waiting >= WAITING_BATCHES * self._size

    def _run(self) -> None:
        try:
            while (batch := self._next()) or self._begun:
                if batch:
                    self._begun.append(batch)
                    batch.begin(self._work)
                if not batch or len(self._begun) >= self._under_way:
                    self._settle(self._begun[0])
                    self._begun.popleft()
        finally:  # whatever ended the thread, nobody waits for it in vain
            self._stop_taking()
            left = chain.from_iterable(self._queues.values())
            _fail(filter(_is_wanted, left), ClosedError())
            begun = chain.from_iterable(batch.items for batch in self._begun)
            _fail([one for one in begun if not one.future.done()], ClosedError())

    def _next(self) -> _Batch[Bucket, Item, Answer] | None:
        """The batch that is due, as soon as one is; None when all is done.

        While one is under way it is not waited for: None if there is none.
        """
        with self._arrived:
            while True:
                due = [bucket for bucket in self._queues if self._is_due(bucket)]
                if due:
                    return self._take(self._chosen(due))
                if self._closed or self._begun:
                    return None
                self._arrived.wait(self._seconds_left())

    def _is_due(self, bucket: Bucket) -> bool:
        waited = time.monotonic() - self._oldest(bucket)
        return self._is_full(bucket) or self._closed or waited >= self._wait_seconds

    def _is_full(self, bucket: Bucket) -> bool:
        return len(self._queues[bucket]) >= self._limit(bucket).size

    def _chosen(self, due: Sequence[Bucket]) -> Bucket:
        """The oldest, but full ones first until it was passed over too often."""
        oldest = min(due, key=self._oldest)
        full = [bucket for bucket in due if self._is_full(bucket)]
        if not full or self._passed >= MOST_PASSED:
            chosen = oldest
        else:
            chosen = min(full, key=self._oldest)
        self._passed = 0 if chosen == oldest else self._passed + 1
        return chosen

    def _oldest(self, bucket: Bucket) -> float:
        return self._queues[bucket][0].since

    def _seconds_left(self) -> float | None:
        """Until the next batch is due, unless more arrives; None with nothing to do."""
        if not self._queues:
            return None
        oldest = min(map(self._oldest, self._queues))
        return max(0.0, oldest + self._wait_seconds - time.monotonic())

    def _take(self, bucket: Bucket) -> _Batch[Bucket, Item, Answer]:
        queue = self._queues[bucket]
        count = min(len(queue), self._limit(bucket).size)
        batch = [queue.popleft() for _ in range(count)]
        if not queue:
            del self._queues[bucket]
        self._taken.notify_all()
        return _Batch(bucket, list(filter(_is_wanted, batch)))

    def _limit(self, bucket: Bucket) -> _Limit:
        return self._limits.setdefault(bucket, _Limit(self._size, self._size))

    def _settle(self, batch: _Batch[Bucket, Item, Answer]) -> None:
        """Give every item its answer or its error, in parts where a batch fails."""
        bucket, items = batch.bucket, batch.items
        error = batch.answer()
        if error is None:
            self._limit(bucket).went_well(len(items))
        elif len(items) == 1 or isinstance(error, self._broken):
            _fail(items, error)
        elif isinstance(error, self._exhausted):
            self._limit(bucket).too_much(len(items))
            self._again(bucket, items)
        else:
            middle = len(items) // 2
            self._again(bucket, items[:middle])
            self._again(bucket, items[middle:])

    def _again(self, bucket: Bucket, items: list[_Waiting[Item, Answer]]) -> None:
        """Begin and settle them anew, each part by itself."""
        while items:
            size = self._limit(bucket).size
            part, items = _Batch(bucket, items[:size]), items[size:]
            part.begin(self._work)
            self._settle(part)


def _is_wanted(one: _Waiting[Item, Answer]) -> bool:
    """Whether somebody still waits; from now on it can no longer be cancelled."""
    return one.future.set_running_or_notify_cancel()


def _fail(batch: Iterable[_Waiting[Item, Answer]], error: Exception) -> None:
    for one in batch:
        one.future.set_exception(error)
