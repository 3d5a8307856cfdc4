"""Train the embedded annotator on the data folder and replace its weights."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from annotation.backends import weights


class Command(BaseCommand):
    help = "Train the embedded annotator; progress to stderr, metrics to stdout."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", type=Path, default=settings.TRAINING_DATA)
        parser.add_argument("--out", type=Path, default=weights.FOLDER)
        parser.add_argument("--run", type=Path, default=Path(".twinby/training"))
        parser.add_argument("--config", type=Path, help="a recipe, as TOML")
        parser.add_argument("--limit", type=int, help="photos per data set, for a try")
        parser.add_argument("--resume", action="store_true", help="go on with --run")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        if not options["data"].is_dir():
            raise CommandError(f"There is no data folder {options['data']}.")
        try:
            # torch is not part of what the product needs to run.
            from annotation.training import recipe
            from annotation.training.export import ExportError
            from annotation.training.lite import PretrainedError
            from annotation.training.pipeline import Plan, train_encoder
        except ImportError as missing:
            raise CommandError(
                f"Training needs {missing.name}: install requirements/vlm.txt."
            ) from missing
        if options["limit"] and options["out"] == weights.FOLDER:
            raise CommandError("A try with --limit needs an --out of its own.")
        names = ("data", "out", "run", "limit", "resume")
        chosen = {name: options[name] for name in names}
        plan = Plan(
            name=weights.NAME, recipe=options["config"] or recipe.DEFAULT, **chosen
        )
        try:
            metadata = train_encoder(plan)
        except (recipe.RecipeError, PretrainedError, ExportError) as error:
            raise CommandError(str(error)) from error
        except (OSError, FloatingPointError) as error:
            raise CommandError(f"Training ended: {error}") from error
        self.stdout.write(json.dumps(metadata["cross_fitted"], indent=1))
