"""The data sets of the training folder as encoded photos and labels, in file order."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from annotation.small.pixels import Image, decode

# Of CelebA, whether a split is kept from training. Its test split is for others.
CELEBA_SPLITS: Final = {"train": False, "val": True}
HELD_OUT_EVERY: Final = 5  # of the clothing sets, which have no validation split
FILES: Final = (
    "celeba_attributes.csv.gz",
    "celeba_112.zip",
    "ccp_tags.jsonl",
    "ccp_224.zip",
    "stanford_clothing.csv",
    "stanford_clothing_224.zip",
)


@dataclass(frozen=True)
class Example:
    """One labelled photo. `validation`: kept from training; `identity`: -1 unknown."""

    data: bytes
    labels: Any
    validation: bool
    identity: int = -1

    @property
    def photo(self) -> Image:
        """RGB pixels (height, width, 3), decoded at each call; ValueError if broken."""
        return pixels(self.data)


def pixels(data: bytes) -> Image:
    """RGB pixels (height, width, 3) of a data set's photo. ValueError if broken."""
    photo = decode(data)
    if photo is None:
        raise ValueError("a photo of the data folder is not an image")
    return photo


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file of the data sets. Raises OSError where one is missing."""
    return {name: (folder / name).stat().st_size for name in FILES}


def celeba(
    folder: Path, limit: int | None = None, *, validation: bool | None = None
) -> Iterator[Example]:
    """Aligned faces with `labels` {name: bool}; the official train and val splits.

    At most `limit`, spread over the file; only of one split if `validation` says so.
    """
    with gzip.open(folder / "celeba_attributes.csv.gz", "rt") as lines:
        rows = [
            (row, CELEBA_SPLITS[row["split"]])
            for row in csv.DictReader(lines)
            if row["split"] in CELEBA_SPLITS
        ]
    photos = zipfile.ZipFile(folder / "celeba_112.zip")
    for row, is_kept in _chosen(rows, limit, validation=validation):
        labels = {key: value == "1" for key, value in row.items()}
        data = photos.read(row["file"])
        yield Example(data, labels, is_kept, int(row["identity"]))


def clothing_co_parsing(
    folder: Path, limit: int | None = None, *, validation: bool | None = None
) -> Iterator[Example]:
    """Full-body street photos with `labels` a list of tags; limited as `celeba`."""
    lines = (folder / "ccp_tags.jsonl").read_text().splitlines()
    photos = zipfile.ZipFile(folder / "ccp_224.zip")
    rows = _parted([json.loads(line) for line in lines])
    if validation:
        rows = _without_doubles(rows, photos)
    for row, is_kept in _chosen(rows, limit, validation=validation):
        yield Example(photos.read(row["file"]), row["tags"], is_kept)


def stanford_clothing(
    folder: Path, limit: int | None = None, *, validation: bool | None = None
) -> Iterator[Example]:
    """Clothing photos with `labels` {question: answer}; limited as `celeba`."""
    with (folder / "stanford_clothing.csv").open() as lines:
        told = list(csv.DictReader(lines))
    photos = zipfile.ZipFile(folder / "stanford_clothing_224.zip")
    rows = _parted(told)
    if validation:
        rows = _without_doubles(rows, photos)
    for row, is_kept in _chosen(rows, limit, validation=validation):
        yield Example(photos.read(row["file"]), row, is_kept)


Rows = list[tuple[Any, bool]]


def _parted(rows: list[Any]) -> Rows:
    """Every row, and whether it is held out: by its place in the file, for ever."""
    return [(row, place % HELD_OUT_EVERY == 0) for place, row in enumerate(rows)]


def _without_doubles(rows: Rows, photos: zipfile.ZipFile) -> Rows:
    """Without those held out of which the same photo is learned from as well.

    Some photos are in a data set twice, often with other labels.
    """
    contents = [_content(photos.getinfo(row["file"])) for row, _ in rows]
    learned = {c for c, (_, held) in zip(contents, rows, strict=True) if not held}
    return [
        (row, held)
        for content, (row, held) in zip(contents, rows, strict=True)
        if not (held and content in learned)
    ]


def _content(photo: zipfile.ZipInfo) -> tuple[int, int]:
    """The same for photos of the same bytes, without reading them."""
    return photo.CRC, photo.file_size


def _chosen(rows: Rows, limit: int | None, *, validation: bool | None) -> Rows:
    """At most `limit` rows, taken evenly, so that every part is among them."""
    wanted = [row for row in rows if validation is None or row[1] is validation]
    step = max(1, -(-len(wanted) // limit)) if limit else 1
    if validation is None and step % HELD_OUT_EVERY == 0:
        step += 1  # else every row, or none, would be of those held out
    return wanted[::step]
