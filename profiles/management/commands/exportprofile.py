"""manage exportprofile ID: all that is kept about a person, as JSON on stdout."""

from __future__ import annotations

import json
import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from profiles import privacy
from profiles.models import Profile


class Command(BaseCommand):
    help = "Print everything that is kept about a person."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("profile_id", type=uuid.UUID)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            everything = privacy.export(options["profile_id"])
        except Profile.DoesNotExist:
            raise CommandError("There is no such person.") from None
        print(json.dumps(everything, cls=DjangoJSONEncoder, indent=2))
