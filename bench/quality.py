"""./run bench quality: what every way to learn a taste is worth on real ratings.

Reads photos and files, and neither reads nor writes the database.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from annotation import services as annotation
from annotation.evaluation import sources
from annotation.evaluation.seen import Seen
from bench._bench import report
from matching.evaluation import conjunctions, trials
from matching.evaluation.files import RatedFilesError, rated_files
from matching.evaluation.london import London, london, unpacked
from matching.evaluation.measuring import sightings
from matching.evaluation.quality import Figures, measure
from matching.evaluation.rated import Rated, rated_faces
from matching.evaluation.trials import PARTS
from matching.preference import DEFAULT
from twinby.errors import DomainError
from twinby.progress import Progress

BOTH: Final = "both"
ALL_LABELS: Final = "all_labels"
DEMO: Final = settings.ROOT / "demo"


def of_ratings(name: str, data: Rated, parts: tuple[str, ...] = PARTS) -> Figures:
    """By what is known of photos; and with all of a rater's labels but the tested."""
    figures = {part: worth(f"{name}, {part}", data, part=part) for part in parts}
    figures[ALL_LABELS] = worth(f"{name}, all labels", data, known=None)
    return figures


def worth(title: str, data: Rated, **options: Any) -> Figures:
    """By method. Raises RatedFilesError if nobody has rated enough."""
    progress = Progress(f"Learning tastes: {title}", trials.count_divisions())
    figures = measure(trials.trials(data, step=progress.step, **options))
    progress.finish()
    if not figures:
        raise RatedFilesError(
            f"{title}: nobody has {trials.KNOWN} likes and as many dislikes to learn "
            "from, and others to be tested by."
        )
    return figures


def read(backend: str | None, photos: list[bytes]) -> Seen:
    """As searches would read them, without a database. Raises DomainError."""
    progress = Progress("Reading photos", len(photos))
    seen = annotation.read_unkept(backend, photos, step=progress.step)
    progress.finish()
    return seen


def faces(data: Path) -> London:
    """The London faces of the data folder, or else of the demo."""
    return london(data) if data.is_dir() else unpacked(DEMO)


def of_labels(data: Path, backend: str | None, limit: int | None) -> Figures:
    """CelebA's conjunctions, on photos that no annotator of ours was trained on."""
    examples = list(sources.celeba(data, limit, validation=True))
    seen = read(backend, [example.data for example in examples])
    rated = conjunctions.of_labels(
        sightings(seen), [example.labels for example in examples]
    )
    measured = partial(worth, data=rated, likes_of=conjunctions.true_or_not)
    return {
        BOTH: measured("conjunctions"),
        ALL_LABELS: measured("conjunctions, all labels", known=None),
    }


def sections(options: argparse.Namespace) -> Iterator[tuple[str, Figures]]:
    """Of the files given, or of the sets that are here."""
    if options.readings:
        given = rated_files(options.readings, options.ratings)
        yield "ratings", of_ratings("ratings", given)
        return
    set_of_faces = faces(options.data)
    seen = sightings(read(options.backend, set_of_faces.photos))
    yield "london", of_ratings("London", rated_faces(seen, set_of_faces))
    if options.data.is_dir():
        celeba = of_labels(options.data, options.backend, options.limit)
        yield "celeba_conjunctions", celeba


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench quality")
    parser.add_argument("--readings", type=Path, help="JSON lines of annotatephotos")
    parser.add_argument(
        "--ratings", type=Path, help="CSV: rater,photo,score[,photo_group,rater_group]"
    )
    parser.add_argument("--backend", help="whose readings; default: the active one")
    parser.add_argument("--data", type=Path, default=settings.TRAINING_DATA)
    parser.add_argument("--limit", type=int, help="CelebA photos at most")
    options = parser.parse_args()
    if bool(options.readings) != bool(options.ratings):
        parser.error("--readings and --ratings belong together")
    return options


def main() -> None:
    options = parsed()
    try:
        found = dict(sections(options))
    except (RatedFilesError, DomainError) as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"{error.filename} cannot be read; see --data.") from None
    first = next(iter(found.values()))
    report("quality", {"default": DEFAULT, "methods": first[BOTH], "sections": found})


if __name__ == "__main__":
    main()
