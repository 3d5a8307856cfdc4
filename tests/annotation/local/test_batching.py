"""Single items in, batches to one worker: each gets its own answer, whatever fails."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest

from annotation.backends.local import batching
from annotation.backends.local.batching import Batcher, ClosedError

SECONDS = 10.0
FOREVER = 60.0

Numbers = Batcher[str, int, int]


class Worker:
    """Doubles numbers and remembers its batches; can be held up, and told to fail.

    It fails where a batch is finished, as devices do, or, `at_once`, where it begins.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.threads: set[int] = set()
        self.go = threading.Event()
        self.go.set()
        self.fails: Callable[[list[int]], Exception | None] = lambda _: None
        self.at_once = False
        self.finished: list[list[int]] = []

    def __call__(self, bucket: str, items: list[int]) -> Callable[[], list[int]]:
        self.batches.append((bucket, items))
        self.threads.add(threading.get_ident())
        assert self.go.wait(SECONDS)
        if self.at_once:
            self._fail(items)

        def finish() -> list[int]:
            self.threads.add(threading.get_ident())
            self.finished.append(items)
            self._fail(items)
            return [2 * item for item in items]

        return finish

    def _fail(self, items: list[int]) -> None:
        error = self.fails(items)
        if error is not None:
            raise error

    @property
    def sizes(self) -> list[int]:
        return [len(items) for _, items in self.batches]


@pytest.fixture
def worker() -> Worker:
    return Worker()


Make = Callable[..., Numbers]


@pytest.fixture
def make(worker: Worker) -> Iterator[Make]:
    made: list[Numbers] = []

    def batcher(
        size: int = 4, wait_seconds: float = 0.005, **options: object
    ) -> Numbers:
        made.append(
            Batcher(worker, size=size, wait_seconds=wait_seconds, **options)  # type: ignore[arg-type]
        )
        return made[-1]

    yield batcher
    worker.go.set()
    for one in made:
        one.close()


def held(worker: Worker, batcher: Numbers) -> Future[int]:
    """Holds the worker up with an item of its own."""
    worker.go.clear()
    future = batcher.submit("held", -1)
    until(lambda: bool(worker.batches))
    worker.batches.clear()
    return future


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize("seed", range(3))
def test_every_caller_gets_its_own_answer(
    make: Make, worker: Worker, seed: int
) -> None:
    batcher = make(size=8, wait_seconds=0.002)

    def call(number: int) -> int:
        chance = random.Random(number + 1_000 * seed)  # noqa: S311
        time.sleep(chance.random() * 0.02)
        bucket = chance.choice(["tall", "wide", "square"])
        return batcher.submit(bucket, number).result(SECONDS)

    with ThreadPoolExecutor(24) as callers:
        answers = list(callers.map(call, range(400)))
    assert answers == [2 * number for number in range(400)]
    assert len(worker.threads) == 1
    assert max(worker.sizes) <= 8
    assert sorted(n for _, items in worker.batches for n in items) == list(range(400))


@pytest.mark.parametrize("under_way", [1, 2, 3])
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_whatever_fails_fails_alone(
    make: Make, worker: Worker, seed: int, *, at_once: bool, under_way: int
) -> None:
    worker.at_once = at_once
    chance = random.Random(seed)  # noqa: S311
    bad = set(chance.sample(range(60), chance.randrange(1, 12)))
    fits = chance.randrange(1, 8)

    def fails(items: list[int]) -> Exception | None:
        if len(items) > fits:
            return MemoryError()
        return ValueError(str(min(bad & set(items)))) if bad & set(items) else None

    worker.fails = fails
    batcher = make(size=8, under_way=under_way)
    futures = [batcher.submit(chance.choice("ab"), number) for number in range(60)]
    wait(futures, SECONDS)
    for number, future in enumerate(futures):
        if number in bad:
            assert str(future.exception(SECONDS)) == str(number)
        else:
            assert future.result(SECONDS) == 2 * number


def test_a_full_batch_goes_at_once(make: Make, worker: Worker) -> None:
    batcher = make(size=4, wait_seconds=FOREVER)
    futures = [batcher.submit("a", number) for number in range(8)]
    assert [future.result(SECONDS) for future in futures] == [0, 2, 4, 6, 8, 10, 12, 14]
    assert worker.batches == [("a", [0, 1, 2, 3]), ("a", [4, 5, 6, 7])]


def test_a_lone_item_waits_for_others_only_so_long(make: Make, worker: Worker) -> None:
    batcher = make(size=4, wait_seconds=0.05)
    started = time.monotonic()
    assert batcher.submit("a", 1).result(SECONDS) == 2
    assert 0.05 <= time.monotonic() - started < SECONDS / 2


def test_items_of_two_buckets_never_meet(make: Make, worker: Worker) -> None:
    batcher = make(size=4)
    held(worker, batcher)
    for number in range(8):
        batcher.submit("odd" if number % 2 else "even", number)
    batcher_done = batcher.submit("even", 8)
    worker.go.set()
    batcher_done.result(SECONDS)
    until(lambda: sum(worker.sizes) == 9)
    assert worker.batches == [
        ("even", [0, 2, 4, 6]),
        ("odd", [1, 3, 5, 7]),
        ("even", [8]),
    ]


@pytest.mark.parametrize("most_passed", [0, 1, 2])
def test_full_batches_go_first_but_not_for_ever(
    make: Make, worker: Worker, monkeypatch: pytest.MonkeyPatch, most_passed: int
) -> None:
    monkeypatch.setattr(batching, "MOST_PASSED", most_passed)
    batcher = make(size=2, wait_seconds=0.0)
    held(worker, batcher)
    futures = [batcher.submit("rare", 100)]
    futures += [batcher.submit("busy", number) for number in range(6)]
    worker.go.set()
    wait(futures, SECONDS)
    buckets = [bucket for bucket, _ in worker.batches]
    assert buckets.index("rare") == most_passed
    assert buckets.count("busy") == 3


def test_the_next_batch_is_begun_before_the_last_is_finished(
    make: Make, worker: Worker
) -> None:
    batcher = make(size=2, under_way=2, wait_seconds=FOREVER)
    ahead: list[int] = []
    worker.fails = lambda _: ahead.append(len(worker.batches) - len(worker.finished))
    worker.go.clear()
    futures = [batcher.submit("a", number) for number in range(8)]
    worker.go.set()
    assert [future.result(SECONDS) for future in futures] == list(range(0, 16, 2))
    assert ahead == [1, 1, 1, 0]
    assert worker.finished == [items for _, items in worker.batches]


def test_a_batch_under_way_is_not_kept_for_one_that_may_never_come(
    make: Make,
) -> None:
    batcher = make(size=2, under_way=2, wait_seconds=FOREVER)
    futures = [batcher.submit("a", number) for number in range(2)]
    assert [future.result(SECONDS) for future in futures] == [0, 2]


@pytest.mark.parametrize("error", [MemoryError(), ValueError(), ConnectionError()])
def test_an_error_of_one_batch_loses_nothing_of_the_next(
    make: Make, worker: Worker, error: Exception
) -> None:
    """The next one is under way by then, and is begun only once."""
    worker.fails = lambda items: error if items[0] < 2 else None
    worker.go.clear()
    options = {"under_way": 2, "broken": (ConnectionError,)}
    batcher = make(size=2, wait_seconds=FOREVER, **options)
    futures = [batcher.submit("a", number) for number in range(6)]
    worker.go.set()
    assert all(future.exception(SECONDS) is error for future in futures[:2])
    assert [future.result(SECONDS) for future in futures[2:]] == [4, 6, 8, 10]
    assert [items for _, items in worker.batches].count([2, 3]) == 1


def test_callers_wait_while_too_much_is_waiting(make: Make, worker: Worker) -> None:
    batcher = make(size=1)
    held(worker, batcher)
    futures = [
        batcher.submit("a", number) for number in range(batching.WAITING_BATCHES)
    ]
    one_more = threading.Thread(target=batcher.submit, args=("a", 99))
    one_more.start()
    one_more.join(0.05)
    assert one_more.is_alive()
    worker.go.set()
    one_more.join(SECONDS)
    assert not one_more.is_alive()
    assert [future.result(SECONDS) for future in futures] == [0, 2, 4, 6]


def test_a_batch_too_large_for_memory_is_halved_and_remembered(
    make: Make, worker: Worker
) -> None:
    worker.fails = lambda items: MemoryError() if len(items) > 2 else None
    batcher = make(size=8, wait_seconds=FOREVER)
    futures = [batcher.submit("a", number) for number in range(8)]
    assert [future.result(SECONDS) for future in futures] == list(range(0, 16, 2))
    assert worker.sizes == [8, 4, 2, 2, 2, 2]
    futures = [batcher.submit("a", number) for number in range(4)]
    assert [future.result(SECONDS) for future in futures] == [0, 2, 4, 6]
    assert worker.sizes[6:] == [2, 2]


def test_another_bucket_keeps_its_own_limit(make: Make, worker: Worker) -> None:
    worker.fails = lambda items: (
        MemoryError() if len(items) > 1 and min(items) < 4 else None
    )
    batcher = make(size=4, wait_seconds=FOREVER)
    for bucket, numbers in (("a", range(4)), ("b", range(4, 8))):
        futures = [batcher.submit(bucket, number) for number in numbers]
        wait(futures, SECONDS)
    assert worker.batches[-1] == ("b", [4, 5, 6, 7])


def test_a_limit_grows_back_and_ever_more_slowly() -> None:
    limit = batching._Limit(most=16, size=16, patience=3)
    limit.too_much(16)
    assert limit.size == 8
    limit.went_well(7)  # not a full batch: proves nothing
    for _ in range(5):
        limit.went_well(8)
    assert limit.size == 8
    limit.went_well(8)
    assert limit.size == 16
    limit.too_much(16)
    for _ in range(11):
        limit.went_well(8)
    assert limit.size == 8
    for _ in range(100):
        limit.went_well(16)
    assert limit.size == 16


def test_one_item_too_large_for_memory_fails_alone(make: Make, worker: Worker) -> None:
    worker.fails = lambda items: MemoryError("full") if 3 in items else None
    batcher = make(size=4, wait_seconds=FOREVER)
    futures = [batcher.submit("a", number) for number in range(4)]
    assert [future.exception(SECONDS) for future in futures[:3]] == [None] * 3
    assert isinstance(futures[3].exception(SECONDS), MemoryError)


def test_one_bad_item_is_found_in_few_tries(make: Make, worker: Worker) -> None:
    worker.fails = lambda items: ValueError("bad") if 21 in items else None
    batcher = make(size=64, wait_seconds=FOREVER)
    futures = [batcher.submit("a", number) for number in range(64)]
    assert isinstance(futures[21].exception(SECONDS), ValueError)
    wait(futures, SECONDS)
    assert sum(future.exception() is None for future in futures) == 63
    assert len(worker.batches) == 13  # two halves of each of six sizes, and the whole


def test_an_error_keeps_nothing_of_the_batch_alive(make: Make, worker: Worker) -> None:
    worker.fails = lambda _: ValueError("bad")
    error = make().submit("a", 1).exception(SECONDS)
    assert error is not None
    assert error.__traceback__ is None


def test_what_is_no_items_fault_fails_the_whole_batch_at_once(
    make: Make, worker: Worker
) -> None:
    worker.fails = lambda _: ConnectionError("gone")
    batcher = make(size=4, wait_seconds=FOREVER, broken=(ConnectionError,))
    futures = [batcher.submit("a", number) for number in range(4)]
    assert all(isinstance(f.exception(SECONDS), ConnectionError) for f in futures)
    assert worker.sizes == [4]


def test_too_few_answers_are_an_error_for_all() -> None:
    batcher = Batcher[str, int, int](lambda _, items: lambda: items[1:], size=2)
    futures = [batcher.submit("a", number) for number in range(2)]
    assert all(isinstance(f.exception(SECONDS), ValueError) for f in futures)
    batcher.close()


def test_what_nobody_waits_for_is_not_done(make: Make, worker: Worker) -> None:
    batcher = make(size=2)
    held(worker, batcher)
    unwanted, wanted = batcher.submit("a", 1), batcher.submit("a", 2)
    assert unwanted.cancel()
    worker.go.set()
    assert wanted.result(SECONDS) == 4
    assert worker.batches == [("a", [2])]


def test_closing_finishes_what_was_taken_and_takes_nothing_more(
    make: Make, worker: Worker
) -> None:
    batcher = make(size=4, wait_seconds=FOREVER)
    taken = [batcher.submit("a", number) for number in range(3)]
    batcher.close()
    assert [future.result(0) for future in taken] == [0, 2, 4]
    with pytest.raises(ClosedError):
        batcher.submit("a", 4)
    batcher.close()


def test_a_caller_who_waits_for_room_hears_of_the_closing(
    make: Make, worker: Worker
) -> None:
    batcher = make(size=1)
    held(worker, batcher)
    for number in range(batching.WAITING_BATCHES):
        batcher.submit("a", number)
    with ThreadPoolExecutor(2) as callers:
        late = callers.submit(batcher.submit, "a", 99)
        time.sleep(0.02)
        closing = callers.submit(batcher.close)
        assert isinstance(late.exception(SECONDS), ClosedError)
        assert not closing.done()
        worker.go.set()
        closing.result(SECONDS)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("at_once", [True, False])
def test_nobody_waits_for_a_thread_that_died(
    make: Make, worker: Worker, *, at_once: bool
) -> None:
    worker.at_once = at_once
    batcher = make(size=2, under_way=2)
    held(worker, batcher)
    futures = [batcher.submit("a", number) for number in range(5)]

    def dies(items: list[int]) -> Exception | None:
        raise SystemExit

    worker.fails = dies
    worker.go.set()
    assert all(isinstance(f.exception(SECONDS), ClosedError) for f in futures)
    with pytest.raises(ClosedError):
        batcher.submit("a", 6)


def test_waiting_costs_no_time_of_the_processor(make: Make) -> None:
    make()
    batcher = make(size=2, wait_seconds=0.4)
    started = time.process_time()
    assert batcher.submit("a", 1).result(SECONDS) == 2
    assert time.process_time() - started < 0.1
