"""manage learnprior: what people like in common, as where every taste starts from."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from matching import priors
from twinby.errors import DomainError


class Command(BaseCommand):
    help = (
        "Learn the prior of every taste from many people's feedback, per genders "
        "sought, and use it where it beats the plain formula on other people."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--feedback",
            type=Path,
            metavar="FILE",
            help="JSON lines with person, matched and passed, ids of profiles; else "
            "what people have liked and passed here",
        )
        parser.add_argument(
            "--force", action="store_true", help="use it even if it is not better"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            file = options["feedback"]
            said = priors.labels_in(file) if file else priors.labels_said()
            learned = priors.learn(said, force=options["force"])
        except DomainError as error:
            raise CommandError(str(error)) from None
        print(json.dumps([asdict(one) for one in learned]))
