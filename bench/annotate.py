"""./run bench annotate: photos a second, from stored bytes to rows in the database.

The active annotator reads the demo's photos in this process, as a worker would. Writes
nothing: rows are rolled back, and files go to a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
from statistics import median
from typing import Any

from django.conf import settings
from django.db import transaction
from django.test.utils import override_settings

from annotation import services as annotation
from annotation.backends import get_annotator
from annotation.models import Annotation
from bench._bench import report, timed
from demo import loading, london
from profiles import services as people
from profiles.models import Photo
from twinby.progress import Progress

FOLDER_STORAGE = "django.core.files.storage.FileSystemStorage"


def measure(faces: int, rounds: int) -> dict[str, Any]:
    """Photos a second: taking them in, the annotator alone, and all that a job does."""
    client, _ = people.create_client("benchmark of annotation")
    chosen = london.faces()[:faces]
    _, loading_ms = timed(lambda: loading.load(client, chosen))
    photos = list(Photo.objects.filter(owner__client=client))
    images = [rendition(photo) for photo in photos]
    get_annotator().read(images[:1])  # the model is loaded once
    alone, whole, progress = [], [], Progress("Annotating", rounds * len(photos))
    for _ in range(rounds):
        alone.append(timed(lambda: get_annotator().read(images))[1])
        whole.append(timed(lambda: job(photos))[1])
        progress.step(len(photos))
    progress.finish()
    return {
        "annotator": annotation.active_version().model,
        "photos": len(photos),
        "rounds": rounds,
        "ingested_per_second": rate(len(photos), loading_ms),
        "read_per_second": rate(len(photos), median(alone)),
        "annotated_per_second": rate(len(photos), median(whole)),
    }


def job(photos: list[Photo]) -> None:
    """What a worker does with these photos: fetch, decode, read, write, tell."""
    Annotation.objects.filter(photo__in=photos).delete()
    annotation.request([photo.pk for photo in photos])
    rows = Annotation.objects.filter(photo__in=photos).order_by("pk")
    ids = list(rows.values_list("pk", flat=True))
    for start in range(0, len(ids), settings.ANNOTATION_BATCH):
        annotation.annotate(ids[start : start + settings.ANNOTATION_BATCH])


def rendition(photo: Photo) -> bytes:
    with photo.annotation.open("rb") as file:
        return bytes(file.read())


def rate(photos: int, milliseconds: float) -> float:
    return round(photos * 1_000 / milliseconds, 1)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./run bench annotate")
    parser.add_argument("--faces", type=int, default=102, help="two photos each")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = {"BACKEND": FOLDER_STORAGE, "OPTIONS": {"location": folder}}
        with (
            override_settings(STORAGES={**settings.STORAGES, "default": storage}),
            transaction.atomic(),
        ):
            figures = measure(options.faces, options.rounds)
            transaction.set_rollback(True)
    report("annotate", figures)


if __name__ == "__main__":
    main()
