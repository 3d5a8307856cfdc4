"""manage loaddemo: the 102 people of the London set, for a client called demo."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from demo import accounts, loading, london
from twinby.progress import Progress


class Command(BaseCommand):
    help = "Load the demo's people and photos; a second run does nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        faces = london.faces()
        progress = Progress("Loading people", len(faces))
        added = loading.load(accounts.client(), faces, step=progress.step)
        progress.finish()
        print(json.dumps({"people": len(faces), "added": added}))
