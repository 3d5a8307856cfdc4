"""The London set with its raters: real taste, to be learned from a few photos."""

from __future__ import annotations

import csv
import gzip
import zipfile
from collections.abc import Callable
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
    with zipfile.ZipFile(folder / "london_448.zip") as archive:
        return _london(
            folder / "london_people.csv",
            folder / "london_ratings.csv.gz",
            lambda face: archive.read(f"neutral_front/{face}.webp"),
        )


def unpacked(folder: Path) -> London:
    """The same, as the demo has it."""
    return _london(
        folder / "people.csv",
        folder / "ratings.csv.gz",
        lambda face: (folder / "photos/neutral_front" / f"{face}.webp").read_bytes(),
    )


def _london(people: Path, ratings: Path, photo: Callable[[str], bytes]) -> London:
    with people.open() as lines:
        genders = {row["face"]: row["gender"] for row in csv.DictReader(lines)}
    with gzip.open(ratings, "rt") as lines:
        raters = list(csv.DictReader(lines))
    faces = [face for face in genders if face in raters[0]]
    return London(
        [photo(face) for face in faces],
        np.array([genders[face] for face in faces]),
        np.array([PREFERENCES.get(r["prefers"], r["prefers"]) for r in raters]),
        np.array([[float(r[f] or "nan") for f in faces] for r in raters]),
    )
