"""manage calibrate: what an annotator says, made to agree with what people see."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.backends import UnknownBackendError, annotator_version
from annotation.backends.base import (
    AnnotatorVersion,
    BackendUnavailableError,
    TransientError,
)
from annotation.calibration.fitting import Example, count
from annotation.calibration.labels import Label, LabelsError, parse
from annotation.models import Calibration
from annotation.services import calibrating, labelling
from annotation.services.claiming import BudgetSpentError
from annotation.services.readers import reader_name, reader_of
from twinby.errors import DomainError
from twinby.progress import Progress


class Command(BaseCommand):
    help = (
        "Fit an annotator's calibration to labelled photos, measure it on photos held "
        "out, and keep it; or activate, list and undo those that are kept."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--labels",
            type=Path,
            metavar="FILE",
            help="CSV with the header photo,attribute,value: the id of a photo that "
            "has been read, or the path of an image file from the CSV's folder; a "
            "value, several as a|b, none_of_these or not_visible",
        )
        parser.add_argument(
            "--corrections",
            action="store_true",
            help="moderators' corrections are labels too; people correct what is "
            "wrong, so alone they make an annotator look worse than it is",
        )
        parser.add_argument(
            "--content-free",
            action="store_true",
            help="do not fit to labels: divide out what the annotator prefers in "
            "pictures without content; labels only measure it",
        )
        parser.add_argument(
            "--backend", default=settings.ANNOTATOR, help="default: the active one"
        )
        parser.add_argument(
            "--activate", action="store_true", help="read by it from now on"
        )
        parser.add_argument(
            "--force", action="store_true", help="activate it even if it is worse"
        )
        self._add_doors(parser)

    def _add_doors(self, parser: argparse.ArgumentParser) -> None:
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument(
            "--list", action="store_true", help="print what is kept, the latest first"
        )
        instead.add_argument(
            "--use", metavar="VERSION", help="activate one that is kept: the way back"
        )
        instead.add_argument(
            "--deactivate", action="store_true", help="read what is kept as it is"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._handle(**options)
        except (DomainError, LabelsError, UnknownBackendError) as error:
            raise CommandError(str(error)) from None
        except BackendUnavailableError as error:
            raise CommandError(str(error)) from None
        except BudgetSpentError as error:
            raise CommandError(f"{error} No calibration was made.") from None
        except TransientError as error:
            message = f"The annotator could not read just now ({error.reason})."
            raise CommandError(f"{message} Try again.") from None

    def _handle(self, **options: Any) -> None:
        version = annotator_version(options["backend"])
        if options["list"]:
            kept = calibrating.kept_calibrations(version)
            print(json.dumps([described(row) for row in kept]))
        elif options["use"] or options["deactivate"]:
            self._activate(version, options["use"])
            print(json.dumps({"reader": reader_of(version)}))
        else:
            self._calibrate(version, **options)

    def _calibrate(self, version: AnnotatorVersion, **options: Any) -> None:
        examples = self._examples(**options)
        if not examples and not options["content_free"]:
            raise CommandError("Nothing to fit to: give --labels or --content-free.")
        make = (
            calibrating.calibrate_content_free
            if options["content_free"]
            else calibrating.calibrate
        )
        done = make(options["backend"], examples)
        refused = "" if options["force"] else done.refusal
        active = options["activate"] and not refused
        if active:
            self._activate(version, done.row.version)
        print(json.dumps(told(done, examples, active=active)))
        if options["activate"] and refused:
            raise CommandError(f"Kept, but not activated: {refused}. See --force.")

    def _examples(self, **options: Any) -> Sequence[Example]:
        labels = parsed(options["labels"]) if options["labels"] else []
        if options["corrections"] and not labels:
            self.stderr.write(
                "Corrections alone are no fair sample: people correct what is wrong."
            )
        progress = Progress("Reading labelled photos", len({x.photo for x in labels}))
        found = labelling.examples(
            options["backend"],
            labels,
            folder=options["labels"].parent if labels else Path(),
            corrections=options["corrections"],
            step=progress.step,
        )
        progress.finish()
        return found

    def _activate(self, version: AnnotatorVersion, name: str | None) -> None:
        calibrating.activate_calibration(version, name)
        self.stderr.write(
            "Searches stay in their feature space until manage fitfeaturespace."
        )


def parsed(file: Path) -> list[Label]:
    """The labels of a file. Raises LabelsError or CommandError."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return parse(lines)
    except OSError as error:
        raise CommandError(f"The labels cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError("The labels are no UTF-8 text; save them as such.") from None


def told(
    done: calibrating.Calibrated, examples: Sequence[Example], *, active: bool
) -> dict[str, Any]:
    """What was made, and what it is worth."""
    return {
        **described(done.row),
        "active": active,
        "compared_with": done.compared_with,
        "photos": len(examples),
        "labels": count(examples),
        **done.figures,
    }


def described(row: Calibration) -> dict[str, Any]:
    """A kept calibration in a few words."""
    version = AnnotatorVersion(row.backend, row.model, row.prompt_version)
    return {
        "version": row.version,
        "reader": reader_name(version, row.version),
        "method": row.method,
        "active": row.is_active,
        "created_at": row.created_at.isoformat(),
    }
