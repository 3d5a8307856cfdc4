"""manage eraseprofile ID: erase a person and everything derived from them."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from profiles import services
from profiles.models import Profile


class Command(BaseCommand):
    help = "Erase a person, their photos and all that was derived from them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("profile_id", type=uuid.UUID)

    def handle(self, *args: Any, **options: Any) -> None:
        profile = Profile.objects.filter(pk=options["profile_id"]).first()
        if profile is None:
            raise CommandError("There is no such person.")
        services.erase_profile(profile)
