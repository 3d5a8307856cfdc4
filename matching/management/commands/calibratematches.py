"""manage calibratematches: make match scores true by what people really liked."""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from matching import calibrations, impressions, outcomes, spaces
from matching.calibration import Fitted, fit
from matching.models import MatchCalibration
from matching.outcomes import Outcome
from twinby.errors import DomainError

LATELY = dt.timedelta(days=90)


class Command(BaseCommand):
    help = (
        "Fit match scores to what people really liked, by Platt scaling or isotonic "
        "regression, whichever is better on outcomes held out, and use it if it is "
        "better than the model's own probability."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--force", action="store_true", help="use it even if it is not better"
        )
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--outcomes",
            type=Path,
            metavar="FILE",
            help="CSV with the columns score (log-odds before any ranking stage), "
            "liked (1 or 0) and perhaps viewer; else what came of the pages shown in "
            "the active space",
        )
        self._add_doors(what)

    def _add_doors(self, what: argparse._MutuallyExclusiveGroup) -> None:
        what.add_argument(
            "--list", action="store_true", help="print what is kept, the latest first"
        )
        what.add_argument(
            "--use", metavar="VERSION", help="use one that is kept: the way back"
        )
        what.add_argument(
            "--deactivate", action="store_true", help="tell the model's own probability"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            kept = MatchCalibration.objects.order_by("-created_at", "-pk")
            print(json.dumps([described(row) for row in kept]))
        elif options["use"] or options["deactivate"]:
            self._activate(options["use"])
        else:
            file = options["outcomes"]
            told = outcomes_in(file) if file else outcomes_here()
            self._refit(fitted_to(told), force=options["force"])

    def _refit(self, fitted: Fitted, *, force: bool) -> None:
        row = calibrations.keep(fitted)
        if fitted.is_better or force:
            calibrations.activate(row.version)
        row.refresh_from_db()
        print(json.dumps(described(row)))
        if not row.is_active:
            raise CommandError(
                "Kept, but not used: on outcomes held out it is no better than the "
                "model's own probability. See --force."
            )

    def _activate(self, version: str | None) -> None:
        try:
            calibrations.activate(version)
        except DomainError as error:
            raise CommandError(str(error)) from None
        print(json.dumps({"version": version}))


def outcomes_in(file: Path) -> list[Outcome]:
    """Of a file. Raises CommandError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return outcomes.parse(lines)
    except OSError as error:
        message = f"The outcomes cannot be read: {error.strerror}."
        raise CommandError(message) from None
    except UnicodeDecodeError:
        raise CommandError("The outcomes are no UTF-8 text; save them so.") from None
    except outcomes.OutcomesError as error:
        raise CommandError(str(error)) from None


def outcomes_here() -> list[Outcome]:
    """Of the pages that people were shown lately, in the space that is active."""
    since = timezone.now() - LATELY
    return impressions.outcomes(spaces.active_space(), since=since)


def fitted_to(told: Sequence[Outcome]) -> Fitted:
    """What fits the outcomes. Raises CommandError."""
    try:
        return fit(
            [outcome.score for outcome in told],
            liked=[outcome.liked for outcome in told],
            viewers=[outcome.viewer for outcome in told],
        )
    except ValueError as error:
        raise CommandError(f"Nothing was fitted: {error}.") from None


def described(row: MatchCalibration) -> Mapping[str, Any]:
    """A kept calibration in a few words."""
    return {
        "version": row.version,
        "method": row.content["method"],
        "active": row.is_active,
        **row.metrics,
        "created_at": row.created_at.isoformat(),
    }
