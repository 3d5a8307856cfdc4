"""manage fitfeaturespace: measure the population and index everybody by it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from matching import services
from twinby.errors import ConflictError


class Command(BaseCommand):
    help = "Fit the feature space to the published photos, re-index all, switch over."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fewer",
            action="store_true",
            help="switch even if fewer people can be found than before",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            space = services.fit_feature_space(allow_fewer=options["fewer"])
        except services.FewerPeopleError as error:
            raise CommandError(
                f"{error} Run ./run manage annotate first, or switch all the"
                " same with --fewer."
            ) from None
        except ConflictError as error:
            raise CommandError(str(error)) from None
        print(
            json.dumps(
                {
                    "version": space.version,
                    "photos": space.photos,
                    "people": space.vectors.count(),
                }
            )
        )
