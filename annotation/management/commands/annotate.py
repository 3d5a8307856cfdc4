"""manage annotate: ask for every reading that is missing, stale or stuck."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import services

EVERYTHING = 10_000_000


class Command(BaseCommand):
    help = "Queue the photos that the active annotator has not read; safe to repeat."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--limit", type=int, default=EVERYTHING)
        parser.add_argument(
            "--older-than",
            type=float,
            default=0,
            metavar="SECONDS",
            help="leave alone what was asked for more recently",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        older_than = dt.timedelta(seconds=options["older_than"])
        queued = services.sweep(older_than=older_than, limit=options["limit"])
        print(json.dumps({"queued": queued}))
