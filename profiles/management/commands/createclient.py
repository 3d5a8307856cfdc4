"""manage createclient NAME: a dating app's credentials, as JSON on stdout."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from profiles import services


class Command(BaseCommand):
    help = "Create an API client; its secret is shown once and stored as a hash only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="a name for the client, unique")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            client, secret = services.create_client(options["name"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        print(json.dumps({"client_id": str(client.pk), "client_secret": secret}))
