"""manage trainhead: learn a head on cached features; no photo is read."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from matching.models import Head
from twinby.errors import DomainError


class Command(BaseCommand):
    help = (
        "Train a head on features that an annotator has given, measure it on people "
        "kept back, and keep it; activatemodel puts it to use."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--encoder", help="whose features; default: the active one")
        parser.add_argument(
            "--triplets", choices=Head.Triplets.values, default=Head.Triplets.IDENTITY
        )
        parser.add_argument(
            "--features",
            type=Path,
            metavar="FILE",
            help="JSON lines of annotatephotos, a folder for each person, or an .npz; "
            "default: what has been read of the people who may be found",
        )
        parser.add_argument(
            "--feedback",
            type=Path,
            metavar="FILE",
            help="JSON lines with person, matched and passed, for --triplets feedback",
        )
        parser.add_argument(
            "--held-out",
            type=Path,
            metavar="FILE",
            help="features of other people to be measured on; default: a fifth",
        )
        parser.add_argument("--seed", type=int, default=1)
        parser.add_argument("--epochs", type=int, default=40, help="at the most")
        parser.add_argument("--run", type=Path, default=Path(".twinby/heads"))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            # torch is not part of what the product needs to run.
            from matching.training.cached import FeaturesError
            from matching.training.run import Plan, run
        except ImportError as missing:
            raise CommandError(
                f"Training needs {missing.name}: install requirements/vlm.txt."
            ) from missing
        plan = Plan(**{field.name: options[field.name] for field in fields(Plan)})
        try:
            print(json.dumps(run(plan)))
        except (FeaturesError, DomainError) as error:
            raise CommandError(str(error)) from None
