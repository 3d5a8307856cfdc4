"""The London set with its raters: real taste, to be learned from a few photos."""

from __future__ import annotations

import csv
import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

PREFERENCES: Final = {"men": "male", "women": "female"}


@dataclass(frozen=True, eq=False)
class London:
    """n neutral faces with gender, and ratings (raters, n); nan where not rated.

    `prefers` (raters,) is a gender, or another word of those who prefer none.
    """

    photos: list[bytes]
    gender: npt.NDArray[np.str_]
    prefers: npt.NDArray[np.str_]
    ratings: npt.NDArray[np.float64]


def london(folder: Path) -> London:
    """The Face Research Lab London Set (CC-BY 4.0) with its raters."""
    with (folder / "london_people.csv").open() as lines:
        people = {row["face"]: row["gender"] for row in csv.DictReader(lines)}
    with gzip.open(folder / "london_ratings.csv.gz", "rt") as lines:
        raters = list(csv.DictReader(lines))
    faces = [face for face in people if face in raters[0]]
    with zipfile.ZipFile(folder / "london_448.zip") as archive:
        photos = [archive.read(f"neutral_front/{face}.webp") for face in faces]
    return London(
        photos,
        np.array([people[face] for face in faces]),
        np.array([PREFERENCES.get(r["prefers"], r["prefers"]) for r in raters]),
        np.array([[float(r[f] or "nan") for f in faces] for r in raters]),
    )
