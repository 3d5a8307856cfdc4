"""manage activatemodel HEAD: project everybody by a trained head, without downtime."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services as annotation
from matching import services
from matching.heads import WeightsError
from matching.models import Head
from profiles.models import Profile
from twinby.errors import DomainError
from twinby.progress import Progress


class Command(BaseCommand):
    help = (
        "Project everybody by a trained head beside the vectors in use, which searches "
        "keep until all is done; no photo is read again. Run again, it goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "head",
            nargs="?",
            help="a version that trainhead has printed, or the one before, to go back; "
            f"{services.UNTRAINED_NAME!r}: go back to no head",
        )
        parser.add_argument(
            "--force", action="store_true", help="even if it is worse than the active"
        )
        parser.add_argument(
            "--list", action="store_true", help="print what is kept, the latest first"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            print(json.dumps([described(head) for head in kept()]))
            return
        if not options["head"]:
            raise CommandError("Which head? See --list.")
        progress = Progress("Projecting people", Profile.objects.searchable().count())
        try:
            space = services.activate_head(
                options["head"], force=options["force"], step=progress.step
            )
        except (DomainError, WeightsError, services.FewerPeopleError) as error:
            raise CommandError(str(error)) from None
        progress.finish()
        told = {"head": options["head"], "version": space.version}
        print(json.dumps(told | {"people": space.vectors.count()}))


def kept() -> list[Head]:
    """The active annotator's heads."""
    own = Head.objects.filter(annotator=annotation.active_version().name)
    return list(own.order_by("-created_at"))


def described(head: Head) -> dict[str, Any]:
    """A kept head in a few words."""
    return {
        "head": head.version,
        "status": head.status,
        "triplets": head.triplets,
        "created_at": head.created_at.isoformat(),
        "headlines": head.metrics["headlines"],
    }
