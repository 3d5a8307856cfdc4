"""./run bench annotate: photos a second, from stored bytes to rows in the database.

Several threads do what a worker's do, on the demo's photos. They write for real, to a
database, a queue and a folder of their own, which are removed afterwards.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median_low
from typing import Any, Final

from django.conf import settings

from annotation.backends import UnknownBackendError, backend, get_annotator
from annotation.backends.base import Annotator, BackendUnavailableError, Reading
from annotation.backends.local.configuration import (
    BATCHES,
    IMAGE_SIDES,
    LocalConfig,
    configured,
)
from annotation.models import Annotation
from bench._bench import report, rounded, timed
from bench._photos import multiplied, taken_in
from bench._stages import GPU, Round, Subject, one_round, writing_alone
from bench._surroundings import InUseError, own_surroundings
from bench._whole import Whole
from profiles.models import Photo
from profiles.storage import annotation_bytes
from twinby.env import EnvError
from twinby.progress import Progress

PEERS = ("own", "none")
MOST_WORKERS: Final = 8


@contextmanager
def subject_of(options: argparse.Namespace) -> Iterator[Subject]:
    """What the options say is to be measured. Raises BackendUnavailableError."""
    if options.backend != "local":
        name = options.backend
        yield Whole(
            get_annotator(name),
            name,
            rounds=options.rounds,
            workers=options.workers,
            with_peer=options.peer != "none",
        )
        return
    try:
        from bench import _local
    except ImportError as error:
        raise BackendUnavailableError(
            f"{error.name} is missing: install what requirements/vlm.txt lists."
        ) from None
    with _local.measured(
        config_of(options),
        architecture=options.random_weights,
        rounds=options.rounds,
        with_peer=options.peer != "none",
    ) as local:
        yield local


def config_of(options: argparse.Namespace) -> LocalConfig:
    """The configuration of the environment, but for what the options say."""
    said: dict[str, Any] = {
        "batch": options.batch,
        "image_side": options.side,
        "usd_per_gpu_hour": options.usd_per_hour,
        "model": options.random_weights and f"random-{options.random_weights}",
    }
    given = {name: value for name, value in said.items() if value is not None}
    return replace(configured(), **given)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures of one annotator on so many photos."""
    with subject_of(options) as subject, own_surroundings():
        originals, milliseconds = timed(lambda: taken_in(options.photos))
        photos = multiplied(originals, options.photos)
        reading = first_reading(subject.annotator, originals)
        alone = subject.alone([annotation_bytes(photo) for photo in photos])
        rounds = measured_rounds(subject, photos, options)
        failed = Annotation.objects.exclude(status=Annotation.Status.DONE).count()
        alone["write"] = writing_alone(
            subject, photos, reading, workers=options.workers
        )
        middle = median_low([one.seconds for one in rounds])
        whole = next(one for one in rounds if one.seconds == middle)
        return {
            "annotator": subject.annotator.version.model,
            "photos": len(photos),
            "failed": failed,
            "rounds": options.rounds,
            "workers": options.workers,
            "ingested_per_second": rounded(len(originals) * 1_000 / milliseconds),
            **speeds(whole, alone, len(photos)),
            **subject.figures(len(photos) / whole.seconds),
        }


def first_reading(annotator: Annotator, photos: Sequence[Photo]) -> Reading:
    """Any one reading; before it, all that happens once has happened."""
    for outcome in annotator.read([annotation_bytes(photo) for photo in photos]):
        if isinstance(outcome, Reading):
            return outcome
    raise BackendUnavailableError("The annotator could read none of the photos.")


def measured_rounds(
    subject: Subject, photos: Sequence[Photo], options: argparse.Namespace
) -> list[Round]:
    rounds, progress = [], Progress("Annotating", options.rounds * len(photos))
    for _ in range(options.rounds):
        rounds.append(one_round(subject, photos, workers=options.workers))
        progress.step(len(photos))
    progress.finish()
    return rounds


def speeds(whole: Round, alone: Mapping[str, float], photos: int) -> dict[str, Any]:
    """Photos a second over all, and of each stage by itself, and how busy each was."""
    return {
        "photos_per_second": rounded(photos / whole.seconds),
        "seconds": rounded(whole.seconds),
        "stages": {
            stage: {
                "photos_per_second": rounded(alone[stage]),
                "busy_seconds": rounded(busy),
                "busy_share": rounded(busy / whole.seconds),
            }
            for stage, busy in whole.busy.items()
            if stage != GPU
        },
        **(
            {"gpu_busy_share": rounded(whole.busy[GPU] / whole.seconds)}
            if GPU in whole.busy
            else {}
        ),
    }


def between(least: int, most: int | None = None) -> Callable[[str], int]:
    """Reads a whole number within these bounds, both of which may be had."""

    def number(text: str) -> int:
        read = int(text)
        if read < least or (most is not None and read > most):
            bounds = f"from {least} to {most}" if most else f"{least} or more"
            raise argparse.ArgumentTypeError(f"must be {bounds}")
        return read

    return number


def dollars_an_hour(text: str) -> float:
    read = float(text)
    if not 0 <= read < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return read


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench annotate")
    parser.add_argument("--backend", help="default: the active one")
    parser.add_argument("--photos", type=between(1), default=204)
    parser.add_argument("--rounds", type=between(1), default=3)
    parser.add_argument(
        "--workers",
        type=between(1, MOST_WORKERS),
        default=4,
        help=f"threads, {MOST_WORKERS} at most",
    )
    parser.add_argument(
        "--peer",
        choices=PEERS,
        default=PEERS[0],
        help="read without batches, or with one prompt for every question, as well",
    )
    local = parser.add_argument_group("the local back end")
    local.add_argument("--random-weights", metavar="ARCHITECTURE")
    local.add_argument("--batch", type=between(BATCHES.start, BATCHES[-1]))
    side = between(IMAGE_SIDES.start, IMAGE_SIDES[-1])
    local.add_argument("--side", type=side, help="of the photos, in pixels")
    local.add_argument("--usd-per-hour", type=dollars_an_hour, help="of the GPU")
    options = parser.parse_args()
    if options.random_weights:
        if options.backend not in {None, "local"}:
            parser.error("--random-weights are those of --backend local")
        options.backend = "local"
    options.backend = options.backend or settings.ANNOTATOR
    backend(options.backend)
    return options


def main() -> None:
    try:
        figures = measure(parsed())
    except (
        BackendUnavailableError,
        UnknownBackendError,
        EnvError,
        InUseError,
    ) as error:
        raise SystemExit(str(error)) from None
    report("annotate", figures)


if __name__ == "__main__":
    main()
