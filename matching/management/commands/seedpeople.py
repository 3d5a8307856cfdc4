"""manage seedpeople --count N: people who do not exist, for load tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services as annotation
from matching import spaces
from matching.index import lists
from matching.seeding.seeder import Seeder
from matching.seeding.sources import real_pairs
from profiles import services as people
from profiles.models import Client
from twinby.env import env_text
from twinby.progress import Progress


class Command(BaseCommand):
    help = (
        "Make synthetic people: fields as in the OkCupid file where it is present, "
        "vectors around readings of real photos, and no picture."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--count", type=int, required=True, metavar="N")
        parser.add_argument(
            "--client", default="load", help="whose people they are; made when needed"
        )
        parser.add_argument("--seed", type=int, default=0)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["count"] < 1:
            raise CommandError("--count must be at least 1.")
        space = spaces.active_space()
        if space.content["model"] != annotation.active_reader():
            raise CommandError(
                f"The feature space is of {space.content['model']}, another annotator: "
                "run fitfeaturespace first."
            )
        real = real_pairs(cache_folder())
        seeder = Seeder(owner(options["client"]), space, real, options["seed"])
        progress = Progress("Seeding people", options["count"])
        done = seeder.seed(options["count"], step=progress.step)
        progress.finish()
        lists.build_missing(space)
        print(json.dumps(done))


def owner(name: str) -> Client:
    """The client of that name; nobody knows the secret of one that is made here."""
    known = Client.objects.filter(name=name).first()
    return known or people.create_client(name)[0]


def cache_folder() -> Path:
    """Where readings of real photos are kept between runs."""
    state = env_text("TWINBY_STATE", str(settings.ROOT / ".twinby"))
    return Path(state) / "seeding"
