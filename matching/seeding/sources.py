"""Two real photos of many real people, and what the active annotator reads in them."""

from __future__ import annotations

import csv
import gzip
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.core.management import call_command

from annotation import services as annotation
from annotation.schema import SCHEMA_VERSION
from matching.seeding.likeness import Readings, readings
from profiles.models import Gender

CELEBA_PEOPLE = 1_000
LONDON_GENDERS = {"female": Gender.WOMAN, "male": Gender.MAN}


@dataclass(frozen=True)
class RealPerson:
    """Somebody with two photos, as files of an image format."""

    name: str
    gender: str
    photos: tuple[bytes, bytes]


@dataclass(frozen=True, eq=False)
class RealPairs:
    """n people of `source`, each read twice; `genders` (n,) as the set labels them."""

    source: str
    genders: npt.NDArray[np.str_]
    first: Readings
    second: Readings


def real_pairs(cache: Path, *, celeba_people: int = CELEBA_PEOPLE) -> RealPairs:
    """CelebA where the data folder is present, else the demo's people.

    What was read is kept in `cache`, by annotator and set.
    """
    if not (settings.TRAINING_DATA / "celeba_112.zip").exists():
        return london_pairs(cache)
    everybody = celeba(settings.TRAINING_DATA, celeba_people)
    return _pairs(f"celeba-{celeba_people}", list(everybody), cache)


def london_pairs(cache: Path) -> RealPairs:
    """The demo's people, read by the active annotator or as kept in `cache`."""
    return _pairs("london", list(london(settings.ROOT / "demo")), cache)


def _pairs(source: str, people: list[RealPerson], cache: Path) -> RealPairs:
    # What was said, before any calibration; a model's name may hold slashes.
    version = re.sub(r"[^\w.-]", "_", annotation.active_version().name)
    file = cache / f"{source}-{version}-{SCHEMA_VERSION}.jsonl"
    if not file.exists():
        _read(people, file)
    return _paired(source, people, file)


def celeba(folder: Path, count: int) -> Iterator[RealPerson]:
    """The first `count` people of whom the set holds at least two photos."""
    with gzip.open(folder / "celeba_attributes.csv.gz", "rt", newline="") as lines:
        rows = list(csv.DictReader(lines))
    photos: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        photos.setdefault(row["identity"], []).append(row)
    twice = [own for own in photos.values() if len(own) > 1][:count]
    with zipfile.ZipFile(folder / "celeba_112.zip") as archive:
        for one, other, *_ in twice:
            gender = Gender.MAN if one["Male"] == "1" else Gender.WOMAN
            pair = archive.read(one["file"]), archive.read(other["file"])
            yield RealPerson(one["identity"], gender, pair)


def london(folder: Path) -> Iterator[RealPerson]:
    """The demo's 102 people, neutral and smiling."""
    with (folder / "people.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            name = f"{row['face']}.webp"
            yield RealPerson(
                row["face"],
                LONDON_GENDERS[row["gender"]],
                (
                    (folder / "photos" / "neutral_front" / name).read_bytes(),
                    (folder / "photos" / "smiling_front" / name).read_bytes(),
                ),
            )


def _read(people: list[RealPerson], file: Path) -> None:
    """One JSON line a photo, by the command that needs no database."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for person in people:
            for index, photo in enumerate(person.photos):
                Path(folder, f"{person.name}_{index}.webp").write_bytes(photo)
        draft = file.with_suffix(".draft")
        call_command("annotatephotos", folder, jsonl=str(draft))
    draft.replace(file)


def _paired(source: str, people: list[RealPerson], file: Path) -> RealPairs:
    """Whoever could be read twice."""
    with file.open() as lines:
        read = {Path(line["file"]).stem: line for line in map(json.loads, lines)}
    both = [
        (person, read[f"{person.name}_0"], read[f"{person.name}_1"])
        for person in people
        if all("error" not in read[f"{person.name}_{i}"] for i in (0, 1))
    ]
    return RealPairs(
        source,
        np.array([person.gender for person, _, _ in both]),
        _readings([one for _, one, _ in both]),
        _readings([other for _, _, other in both]),
    )


def _readings(lines: list[dict[str, Any]]) -> Readings:
    return readings(
        (line["attributes"] for line in lines), [line["features"] for line in lines]
    )
