"""manage annotatephotos PATH… --jsonl OUT: read any photos, without a database."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from annotation.backends import UnknownBackendError, batch_size, get_annotator
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    BackendUnavailableError,
    Reading,
    TransientError,
)
from annotation.services import rounded
from profiles.ingest import IngestError, ingest
from twinby.env import EnvError
from twinby.progress import Progress

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif"}
FEATURE_DECIMALS = 6
MASS_DECIMALS = 4


class Command(BaseCommand):
    help = "Read photos or folders of photos into one JSON line each."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", nargs="+", type=Path)
        parser.add_argument("--backend", default=None, help="default: the active one")
        parser.add_argument(
            "--jsonl", default="-", metavar="OUT", help="a file, or - for stdout"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            files = list(photo_files(options["paths"]))
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None
        if not files:
            raise CommandError("No photos there; expected files or folders of them.")
        try:
            annotator = get_annotator(options["backend"])
        except (UnknownBackendError, EnvError) as error:
            raise CommandError(str(error)) from None
        progress = Progress("Reading photos", len(files))
        named = {"annotator": annotator.version.name}
        with result(options["jsonl"]) as out:
            for batch in batches(files, batch_size(options["backend"])):
                for line in read_batch(annotator, batch):
                    out.write(json.dumps(line | named) + "\n")
                progress.step(len(batch))
        progress.finish()


@contextmanager
def result(name: str) -> Iterator[IO[str]]:
    """The file of this name, or stdout for "-"; no file stays if nothing was written.

    Raises CommandError before anything is read if it cannot be written.
    """
    if name == "-":
        yield sys.stdout
        return
    file = Path(name)
    try:
        out = file.open("w", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{name} cannot be written: {error.strerror}.") from None
    try:
        with out:
            yield out
    except CommandError:
        if not file.stat().st_size:
            file.unlink()
        raise


def photo_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files named, and every photo in the folders named, in a stable order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES
            )
        elif path.exists():
            yield path
        else:
            raise CommandError(f"There is no {path}.")


def batches(files: Iterable[Path], size: int) -> Iterator[list[Path]]:
    """Lists of at most `size` files."""
    rest = iter(files)
    while batch := list(islice(rest, size)):
        yield batch


def read_batch(annotator: Annotator, files: list[Path]) -> list[dict[str, Any]]:
    """One line per file; a file that cannot be read says why in `error`."""
    lines: dict[Path, dict[str, Any]] = {}
    images: dict[Path, bytes] = {}
    for file in files:
        try:
            images[file] = ingest(file.read_bytes()).annotation
        except IngestError as error:
            lines[file] = {"file": str(file), "error": error.kind}
        except OSError:
            lines[file] = {"file": str(file), "error": "unreadable-file"}
    outcomes = outcomes_of(annotator, list(images.values())) if images else []
    for file, outcome in zip(images, outcomes, strict=True):
        lines[file] = described(file, outcome)
    return [lines[file] for file in files]


def outcomes_of(
    annotator: Annotator, images: list[bytes]
) -> list[Reading | AnnotationError]:
    """One outcome per image; what fails a whole batch is the outcome of each in it."""
    try:
        return annotator.read(images)
    except TransientError as error:
        return [error] * len(images)
    except BackendUnavailableError as error:
        raise CommandError(str(error)) from None


def described(file: Path, outcome: Reading | AnnotationError) -> dict[str, Any]:
    """A reading, or the reason for none, as a JSON object."""
    if isinstance(outcome, AnnotationError):
        return {"file": str(file), "error": outcome.reason}
    features = outcome.features
    return {
        "file": str(file),
        "attributes": rounded(outcome.attributes),
        "features": None
        if features is None
        else [round(float(f), FEATURE_DECIMALS) for f in features],
        "gates": dict(outcome.gates),
        "mass": {name: round(p, MASS_DECIMALS) for name, p in outcome.mass.items()},
        "source": outcome.source,
        "seconds": round(outcome.seconds, 5),
    }
