"""manage arrangeimpressions: months of the log made ahead, old ones dropped."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from matching import impressions


class Command(BaseCommand):
    help = "Make the log of impressions' months ahead, and drop those out of date."

    def handle(self, *args: Any, **options: Any) -> None:
        made, dropped = impressions.arrange()
        print(json.dumps({"made": made, "dropped": dropped}))
