"""The data sets of the training folder as pixels and labels, in file order."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation.small.framing import Image, decode

HELD_OUT_EVERY = 5  # of the clothing sets, which come without a validation split


@dataclass(frozen=True)
class Example:
    """One labelled photo. `validation`: kept from training; `identity`: -1 unknown."""

    photo: Image
    labels: Any
    validation: bool
    identity: int = -1


def celeba(folder: Path, limit: int | None = None) -> Iterator[Example]:
    """Aligned faces with `labels` {name: bool}; the official train and val splits."""
    photos = _Photos(folder / "celeba_112.zip")
    with gzip.open(folder / "celeba_attributes.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    for row in _spread_out(rows, limit):
        labels = {key: value == "1" for key, value in row.items()}
        validation = row["split"] == "val"
        identity = int(row["identity"])
        yield Example(photos[row["file"]], labels, validation, identity)


def clothing_co_parsing(folder: Path, limit: int | None = None) -> Iterator[Example]:
    """Full-body street photos with `labels` a list of tags."""
    photos = _Photos(folder / "ccp_224.zip")
    lines = (folder / "ccp_tags.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for index, row in enumerate(_spread_out(rows, limit)):
        yield Example(photos[row["file"]], row["tags"], index % HELD_OUT_EVERY == 0)


def stanford_clothing(folder: Path, limit: int | None = None) -> Iterator[Example]:
    """Clothing photos with `labels` {question: answer}, as in the file."""
    photos = _Photos(folder / "stanford_clothing_224.zip")
    with (folder / "stanford_clothing.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    for index, row in enumerate(_spread_out(rows, limit)):
        yield Example(photos[row["file"]], row, index % HELD_OUT_EVERY == 0)


def _spread_out(rows: list[Any], limit: int | None) -> list[Any]:
    """At most `limit` rows, taken evenly, so that every split is among them."""
    step = max(1, -(-len(rows) // limit)) if limit else 1
    return rows[::step]


class _Photos:
    """Pixels by file name out of a zip archive."""

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def __getitem__(self, name: str) -> Image:
        photo = decode(self._archive.read(name))
        if photo is None:
            raise ValueError(f"{name} is not an image")
        return photo
