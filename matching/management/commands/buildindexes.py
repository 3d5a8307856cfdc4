"""manage buildindexes: the indexes of large feature spaces, now."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from matching import services


class Command(BaseCommand):
    help = "Make the lists that are missing, drop those of nobody; safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        print(json.dumps({"built": services.build_indexes()}))
