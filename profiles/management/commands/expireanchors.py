"""manage expireanchors: delete anchors past their day, as happens every hour."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from profiles import services


class Command(BaseCommand):
    help = "Delete every anchor photo whose 30 days are over."

    def handle(self, *args: Any, **options: Any) -> None:
        print(services.expire_anchors())
