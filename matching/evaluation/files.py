"""Rated photos of one's own: readings of annotatephotos, and a table of ratings. Pure.

Readings are JSON lines with `file`, `attributes` and `features`; ratings are a CSV with
the columns rater, photo and score, and perhaps photo_group and rater_group.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from annotation.schema import problems
from matching.evaluation.rated import Rated
from matching.features import Sighting
from matching.projection import untrained

COLUMNS: Final = ("rater", "photo", "score")
EVERYBODY: Final = "everybody"


class RatedFilesError(Exception):
    """The files cannot be used; the message says what is wrong, and where."""


def rated_files(readings: Path, ratings: Path) -> Rated:
    """The photos that are both read and rated. Raises RatedFilesError.

    A photo in the table is a file of the readings by its path, its name, or its name
    without suffix. A rater in two groups counts as two.
    """
    seen, rows = _sightings(readings), _ratings(ratings)
    files = _files(seen, {row["photo"] for row in rows})
    rows = [row for row in rows if row["photo"] in files]
    if not rows:
        raise RatedFilesError(f"No photo of {ratings} is among those of {readings}.")
    columns = {file: at for at, file in enumerate(sorted(set(files.values())))}
    lines = {rater: at for at, rater in enumerate(sorted({_rater(r) for r in rows}))}
    table = np.full((len(lines), len(columns)), np.nan)
    groups = [EVERYBODY] * len(columns)
    for row in rows:
        at = columns[files[row["photo"]]]
        table[lines[_rater(row)], at] = float(row["score"])
        groups[at] = row.get("photo_group") or EVERYBODY
    return Rated([seen[file] for file in columns], np.array(groups), table)


def _rater(row: Mapping[str, str]) -> tuple[str, str]:
    return row["rater"], row.get("rater_group") or ""


def _files(seen: Iterable[str], wanted: set[str]) -> dict[str, str]:
    """The file of each wanted photo; a name that several have is nobody's."""
    files: dict[str, set[str]] = {}
    for file in seen:
        path = PurePath(file)
        for name in (file, path.name, path.stem):
            files.setdefault(name, set()).add(file)
    return {
        name: next(iter(files[name]))
        for name in wanted
        if len(files.get(name, ())) == 1
    }


def _sightings(readings: Path) -> dict[str, Sighting]:
    """Every photo that was read, by its file; one with an error is left out."""
    found: dict[str, Sighting] = {}
    for number, line in enumerate(_lines(readings), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if "error" not in row:
                found[str(row["file"])] = _sighting(row)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RatedFilesError(
                f"Line {number} of {readings} is no reading of annotatephotos."
            ) from None
    return found


def _sighting(row: Mapping[str, Any]) -> Sighting:
    """Raises ValueError if it is of another schema, or its features are no numbers."""
    if problems(row["attributes"]):
        raise ValueError("not of this schema")
    if row["features"] is None:
        return Sighting(row["attributes"])
    features = np.array([row["features"]], np.float32)
    if not np.isfinite(features).all():
        raise ValueError("not finite")
    embedding = untrained(width=features.shape[1])(features)[0]
    return Sighting(row["attributes"], embedding if embedding.any() else None)


def _ratings(ratings: Path) -> list[dict[str, str]]:
    table = csv.DictReader(_lines(ratings))
    if missing := set(COLUMNS) - set(table.fieldnames or ()):
        raise RatedFilesError(f"{ratings} lacks {', '.join(sorted(missing))}.")
    rows = list(table)
    for number, row in enumerate(rows, 2):
        if not _is_number(row["score"]):
            raise RatedFilesError(f"Line {number} of {ratings}: score is no number.")
    return rows


def _is_number(text: str | None) -> bool:
    try:
        return math.isfinite(float(text or ""))
    except ValueError:
        return False


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise RatedFilesError(f"{file} cannot be read.") from None
