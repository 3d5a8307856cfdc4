"""manage activatemodel: a head, or an annotator, takes over without downtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation import services as annotation
from matching import acceptance, services
from matching.heads import WeightsError
from matching.models import Head, Space
from profiles.models import Profile
from twinby.errors import DomainError, NotFoundError
from twinby.progress import Progress


class Command(BaseCommand):
    help = (
        "Index everybody by a trained head, or by what a new annotator has read, "
        "beside the vectors in use, which searches keep until all is done; no photo is "
        "read again. A worse one is refused. Run again, a head goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "model",
            nargs="?",
            help="a head that trainhead has printed, or the one before, to go back; "
            f"{services.UNTRAINED_NAME!r}: go back to no head; or the annotator that "
            "TWINBY_ANNOTATOR names",
        )
        parser.add_argument(
            "--evaluation",
            type=Path,
            metavar="FILE",
            action="append",
            default=[],
            help="what evaluate --out has written of an annotator: kept, and compared",
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
        if not options["model"]:
            raise CommandError("Which model? See --list.")
        try:
            for file in options["evaluation"]:
                acceptance.keep(report_in(file))
            space = activated(options["model"], force=options["force"])
        except (DomainError, WeightsError, services.FewerPeopleError) as error:
            raise CommandError(str(error)) from None
        told = {"model": options["model"], "version": space.version}
        print(json.dumps(told | {"people": space.vectors.count()}))


def activated(name: str, *, force: bool) -> Space:
    """The space in which a head, or an annotator, has taken over."""
    if is_annotator(name):
        return services.activate_annotator(name, force=force)
    progress = Progress("Projecting people", Profile.objects.searchable().count())
    space = services.activate_head(name, force=force, step=progress.step)
    progress.finish()
    return space


def is_annotator(name: str) -> bool:
    """Whether a back end has this name; no head has."""
    try:
        annotation.encoder_name(name)
    except NotFoundError:
        return False
    return True


def report_in(file: Path) -> Any:
    """The JSON of a file. Raises CommandError."""
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}.") from None
    except ValueError:
        raise CommandError(f"{file} holds no JSON.") from None


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
