"""manage compilephrases: after a change to locale/*/LC_MESSAGES/django.po."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from matching.catalogues import compiled, parse


class Command(BaseCommand):
    help = "Compile the translations in locale/, as msgfmt would, without msgfmt."

    def handle(self, *args: Any, **options: Any) -> None:
        folders = [Path(folder) for folder in settings.LOCALE_PATHS]
        for file in sorted(f for folder in folders for f in folder.rglob("*.po")):
            try:
                entries = parse(file.read_text())
            except ValueError as error:
                raise CommandError(f"{file}: {error}") from None
            file.with_suffix(".mo").write_bytes(compiled(entries))
            print(f"{file.with_suffix('.mo')}: {len(entries) - 1} messages")
