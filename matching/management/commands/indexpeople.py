"""manage indexpeople: bring everybody's place in the index up to date, now."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from matching import services


class Command(BaseCommand):
    help = "Index whom a lost message left out of date; safe to repeat."

    def handle(self, *args: Any, **options: Any) -> None:
        print(json.dumps({"indexed": services.sweep()}))
