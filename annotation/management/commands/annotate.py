"""manage annotate: read a whole base in this process, or queue it for the workers."""

from __future__ import annotations

import datetime as dt
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services
from annotation.backends import UnknownBackendError, close_annotators
from annotation.backends.base import BackendUnavailableError
from twinby.progress import Progress

EVERYTHING = 10_000_000
INTERRUPTED = "Interrupted: the same command goes on."
INTERRUPTED_STATUS = 130  # as a shell has it


class Command(BaseCommand):
    help = "Read all photos that an annotator has not read; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--backend", help="default: the active one")
        parser.add_argument("--since", type=day, help="photos of this day and later")
        parser.add_argument("--limit", type=int, default=EVERYTHING)
        parser.add_argument(
            "--workers", type=int, default=2, help="threads that claim, read and write"
        )
        parser.add_argument(
            "--queue",
            action="store_true",
            help="read nothing here: queue it for the workers of the active annotator",
        )
        parser.add_argument(
            "--older-than",
            type=float,
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


def day(text: str) -> dt.datetime:
    """Midnight UTC of a day such as 2026-11-21."""
    return dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), dt.UTC)


def queue(options: dict[str, Any]) -> int:
    """Ask for every reading of the active annotator that is missing, stale or stuck."""
    if options["backend"] or options["since"]:
        raise CommandError("--queue is for all photos and the active annotator.")
    older_than = dt.timedelta(seconds=options["older_than"])
    return services.sweep(older_than=older_than, limit=options["limit"])


def read(options: dict[str, Any]) -> services.Result:
    """Read what is left, with a bar on stderr."""
    wanted = ("backend", "since", "limit", "workers")
    run = services.Run(**{name: options[name] for name in wanted})
    progress = Progress("Reading", min(run.left(), options["limit"]))
    with ended_by_signals(run):
        result = run.run(progress.step)
    progress.finish()
    return result


@contextmanager
def ended_by_signals(run: services.Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after what it holds; the second time at once."""
    before: dict[signal.Signals, Any] = {}

    def end(number: int, frame: object) -> None:
        run.stop(INTERRUPTED)
        for sign, handler in before.items():
            signal.signal(sign, handler)

    for sign in (signal.SIGINT, signal.SIGTERM):
        before[sign] = signal.signal(sign, end)
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)
