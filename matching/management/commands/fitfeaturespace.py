"""manage fitfeaturespace: measure the population and index everybody by it."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from matching import services


class Command(BaseCommand):
    help = "Fit the feature space to the published photos, re-index all, switch over."

    def handle(self, *args: Any, **options: Any) -> None:
        space = services.fit_feature_space()
        print(
            json.dumps(
                {
                    "version": space.version,
                    "photos": space.photos,
                    "people": space.vectors.count(),
                }
            )
        )
