"""Do the features carry taste? Real raters of the London faces, five and five known."""

from __future__ import annotations

import csv
import gzip
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from annotation.small.framing import Image, decode
from annotation.training.metrics import auc

Floats = npt.NDArray[np.floating[Any]]

KNOWN: Final = 5  # liked, and as many disliked
EXTREME: Final = 0.3  # liked: a rater's top 30 %, disliked: the bottom 30 %
PREFERENCES: Final = {"men": "male", "women": "female"}


@dataclass(frozen=True)
class London:
    """Neutral faces with gender, and ratings (raters, faces); nan where not rated."""

    photos: list[Image]
    gender: npt.NDArray[np.str_]
    prefers: npt.NDArray[np.str_]
    ratings: Floats


def london(folder: Path) -> London:
    """The Face Research Lab London Set (CC-BY 4.0) with its raters."""
    with (folder / "london_people.csv").open() as lines:
        people = {row["face"]: row["gender"] for row in csv.DictReader(lines)}
    with gzip.open(folder / "london_ratings.csv.gz", "rt") as lines:
        raters = list(csv.DictReader(lines))
    faces = [face for face in people if face in raters[0]]
    archive = zipfile.ZipFile(folder / "london_448.zip")
    photos = (decode(archive.read(f"neutral_front/{face}.webp")) for face in faces)
    return London(
        [photo for photo in photos if photo is not None],
        np.array([people[face] for face in faces]),
        np.array([PREFERENCES.get(r["prefers"], r["prefers"]) for r in raters]),
        np.array([[float(r[f] or "nan") for f in faces] for r in raters]),
    )


def taste_auc(features: Floats, data: London, seed: int = 0) -> dict[str, float]:
    """Mean AUC over raters of `avg(liked) - avg(disliked)`, and of others' average.

    A rater is compared only with faces of the gender they prefer.
    """
    rng = np.random.default_rng(seed)
    scores = [
        score
        for rater in range(len(data.prefers))
        for score in _of_rater(features, data, rater, rng)
    ]
    formula, others = np.array(scores).T
    return {
        "raters": len(scores),
        "formula": float(formula.mean()),
        "others_average": float(others.mean()),
        "random": 0.5,
    }


def _of_rater(
    features: Floats, data: London, rater: int, rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    suitable = (data.gender == data.prefers[rater]) & ~np.isnan(data.ratings[rater])
    faces = np.flatnonzero(suitable)
    # Equal ratings are ordered by chance, not by the face's number.
    order = rng.permutation(faces)
    order = order[np.argsort(data.ratings[rater, order], kind="stable")]
    count = int(len(order) * EXTREME)
    if count <= KNOWN:
        return
    disliked, liked = rng.permutation(order[:count]), rng.permutation(order[-count:])
    query = features[liked[:KNOWN]].mean(0) - features[disliked[:KNOWN]].mean(0)
    rest = np.concatenate([liked[KNOWN:], disliked[KNOWN:]])
    outcomes = np.arange(len(rest)) < count - KNOWN
    others = np.nanmean(np.delete(data.ratings[:, rest], rater, 0), 0)
    yield auc(features[rest] @ query, outcomes), auc(others, outcomes)
