"""manage evaluate: what an annotator is worth, through the product's own path."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services as annotation
from annotation.management.commands.annotate import count
from matching.evaluation import card
from matching.evaluation.measuring import Figures, Material, evaluate, gather
from twinby.errors import DomainError
from twinby.progress import Progress


class Command(BaseCommand):
    help = (
        "Measure an annotator's attributes, embedding and use for taste on labelled "
        "photos that nobody has learned from; figures to stdout, progress to stderr."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--annotator", help="its name; default: the active one")
        parser.add_argument(
            "--data", type=Path, default=settings.TRAINING_DATA, metavar="FOLDER"
        )
        parser.add_argument(
            "--limit", type=count, help="photos per data set, for a try or a dear model"
        )
        parser.add_argument(
            "--card",
            type=Path,
            metavar="FILE",
            help="a model card whose measured part is to be written anew",
        )
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="write the figures there as well"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            material = gather(_folder(options["data"]), options["limit"])
            figures = measured(options["annotator"], material)
            told = json.dumps(figures | {"limit": options["limit"]}, indent=1)
            if options["out"]:
                options["out"].write_text(told + "\n")
            if options["card"]:
                card.refresh(options["card"], figures)
        except (DomainError, card.CardError) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None
        print(told)


def measured(annotator: str | None, material: Material) -> Figures:
    """Everything that is known of an annotator. Raises DomainError."""
    named = {"annotator": annotation.encoder_name(annotator)}
    progress = Progress("Reading photos", material.photos)
    read = partial(annotation.read_unkept, annotator, step=progress.step)
    figures = evaluate(read, material)
    progress.finish()
    return named | figures | {"training": annotation.training_facts(annotator)}


def _folder(data: Path) -> Path:
    if not data.is_dir():
        raise CommandError(f"There is no data folder {data}; see --data.")
    return data
