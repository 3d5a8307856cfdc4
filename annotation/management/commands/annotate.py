"""manage annotate: read a whole base in this process, or queue it for the workers."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import sys
import threading
import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection

from annotation import services
from annotation.backends import UnknownBackendError, close_annotators
from annotation.backends.base import BackendUnavailableError
from twinby.progress import Progress

INTERRUPTED = "Interrupted: the same command goes on."
INTERRUPTED_STATUS = 130  # as a shell has it
NOTHING_READ_STATUS = 1
# One wish to end may come twice: to the whole process group, and passed on by ./run.
ECHO_SECONDS = 2.0
FINISHING = b"Finishing the batches under way; once more ends at once.\n"
COUNTED_SECONDS = 1.0
MOST_WORKERS = 24  # more only wait for a connection to the database
LONGEST_SECONDS = 3650 * 24 * 3600.0


class Command(BaseCommand):
    help = "Read all photos that an annotator has not read; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--backend", help="default: the active one")
        parser.add_argument("--since", type=day, help="photos of this day and later")
        parser.add_argument("--limit", type=count, help="so many photos at the most")
        parser.add_argument(
            "--workers",
            type=workers,
            default=2,
            help="threads that claim, read and write",
        )
        parser.add_argument(
            "--failed",
            action="store_true",
            help="read what has failed before again as well",
        )
        parser.add_argument(
            "--queue",
            action="store_true",
            help="read nothing here: queue it for the workers of the active annotator",
        )
        parser.add_argument(
            "--older-than",
            type=seconds,
            default=0,
            metavar="SECONDS",
            help="with --queue: leave alone what was asked for more recently",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["queue"]:
                print(json.dumps({"queued": queue(options)}))
            else:
                self._tell(read(options))
        except (UnknownBackendError, BackendUnavailableError) as error:
            raise CommandError(str(error)) from None
        finally:
            close_annotators()

    def _tell(self, result: services.Result) -> None:
        told = asdict(result)
        if reason := told.pop("reason"):
            self.stderr.write(reason)
        print(json.dumps({**told, "seconds": round(result.seconds, 2)}))
        if reason == INTERRUPTED:
            sys.exit(INTERRUPTED_STATUS)
        if result.failed and not result.read + result.copied:
            sys.exit(NOTHING_READ_STATUS)


def day(text: str) -> dt.datetime:
    """Midnight UTC of a day such as 2026-11-21."""
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day such as 2026-11-21") from None
    return dt.datetime.combine(date, dt.time(), dt.UTC)


def count(text: str) -> int:
    """A number of photos."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number of photos, 1 or more")
    return int(text)


def workers(text: str) -> int:
    """A number of threads that a process can bear."""
    if not text.isdecimal() or not 1 <= int(text) <= MOST_WORKERS:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_WORKERS}")
    return int(text)


def seconds(text: str) -> float:
    """Seconds of up to ten years."""
    with suppress(ValueError):
        if 0 <= float(text) <= LONGEST_SECONDS:
            return float(text)
    raise ArgumentTypeError(f"{text!r} is no number of seconds")


def queue(options: dict[str, Any]) -> int:
    """Ask for every reading of the active annotator that is missing, stale or stuck."""
    if options["backend"] or options["since"]:
        raise CommandError("--queue is for all photos and the active annotator.")
    older_than = dt.timedelta(seconds=options["older_than"])
    limit, failed = options["limit"], options["failed"]
    return sum(services.ask_for_all(older_than=older_than, limit=limit, failed=failed))


def read(options: dict[str, Any]) -> services.Result:
    """Read what is left, with a bar on stderr."""
    wanted = ("backend", "since", "limit", "workers", "failed")
    run = services.Run(**{name: options[name] for name in wanted})
    progress = Progress("Reading")
    with ended_by_signals(run), counting(run, progress, options["limit"]):
        result = run.run(progress.step)
    progress.finish()
    return result


@contextmanager
def counting(
    run: services.Run, progress: Progress, limit: int | None
) -> Iterator[None]:
    """Tells the bar how long it is as soon as it is known; reading does not wait."""

    def count_what_is_left() -> None:
        try:
            total = progress.done + run.left()
            progress.total = total if limit is None else min(total, limit)
        except Error:  # then the bar shows what is done, and how fast
            return
        finally:
            connection.close()

    counting = threading.Thread(target=count_what_is_left, daemon=True)
    counting.start()
    yield
    counting.join(COUNTED_SECONDS)


@contextmanager
def ended_by_signals(run: services.Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after what it holds; the second time at once."""
    before: dict[signal.Signals, Any] = {}
    told: list[float] = []

    def end(number: int, frame: object) -> None:
        if told and time.monotonic() - told[0] > ECHO_SECONDS:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        elif not told:
            told.append(time.monotonic())
            run.stop(INTERRUPTED)
            os.write(2, FINISHING)  # print might be at work already

    for sign in (signal.SIGINT, signal.SIGTERM):
        before[sign] = signal.signal(sign, end)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
