"""manage costs: what reading took, and what 100,000 photos would, by back end."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from annotation import services

COLUMNS = {
    "back end": "{0.backend}",
    "model": "{0.model}",
    "provider": "{0.provider}",
    "photos": "{0.photos:,}",
    "copied": "{0.copied:,}",
    "tries": "{0.tries:,}",
    "failures": "{0.failures:,}",
    "tokens in": "{0.tokens_in:,}",
    "tokens out": "{0.tokens_out:,}",
    "GPU s": "{0.gpu_seconds:,.0f}",
    "$": "{0.cost_usd:,.4f}",
    "$ per 100k": "{0.usd_per_100k:,.2f}",
    "hours per 100k": "{0.hours_per_100k:,.2f}",
}
WORDS = ("back end", "model", "provider")
MOST_DAYS = 36_500.0
PER_100K = ("$ per 100k", "hours per 100k")


class Command(BaseCommand):
    help = "Print dollars and hours per 100,000 photos, and what they are made of."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=days, help="the last so many days only")
        parser.add_argument(
            "--recount",
            action="store_true",
            help="first make the days' totals, which the budget goes by, anew",
        )
        parser.add_argument("--json", action="store_true", help="one object a line")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["recount"]:
            services.recount()
        costs = services.costs(days=options["days"])
        lines = map(as_json, costs) if options["json"] else table(costs)
        for line in lines:
            print(line)


def days(text: str) -> float:
    """A number of days, parts of days as well, of up to a hundred years."""
    with suppress(ValueError):
        if 0 < float(text) <= MOST_DAYS:
            return float(text)
    raise ArgumentTypeError(f"{text!r} is no number of days up to {MOST_DAYS:,.0f}")


def as_json(costs: services.Costs) -> str:
    """One object on a line; a number that cannot be known is null."""
    return json.dumps(
        {
            **asdict(costs),
            "cost_usd": float(costs.cost_usd),
            "usd_per_100k": costs.usd_per_100k,
            "hours_per_100k": costs.hours_per_100k,
        }
    )


def table(costs: list[services.Costs]) -> list[str]:
    """Aligned lines under a heading."""
    rows = [[*COLUMNS], *map(cells, costs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if name in WORDS else cell.rjust(width)
            for name, cell, width in zip(COLUMNS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def cells(costs: services.Costs) -> list[str]:
    """One row of the table; a dash where nothing has been read yet."""
    return [
        "-" if name in PER_100K and not costs.photos else form.format(costs)
        for name, form in COLUMNS.items()
    ]
