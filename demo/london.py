"""The London set as stored here: 102 faces, and what 1,115 raters made of them."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

FOLDER = Path(__file__).parent
NEUTRAL, SMILING = "neutral_front", "smiling_front"
GENDERS = {"female": "woman", "male": "man"}
PREFERRED = {"women": "woman", "men": "man"}
EXAMPLES = 5


@dataclass(frozen=True)
class Face:
    """One of the 102: `age` in years, None where the set does not say."""

    number: str
    age: int | None
    gender: str

    def photo(self, expression: str) -> bytes:
        """The WebP file of the NEUTRAL or SMILING photo."""
        return (FOLDER / "photos" / expression / f"{self.number}.webp").read_bytes()


@dataclass(frozen=True)
class Rater:
    """One rater: `prefers` is a gender or "", `ratings` are 1 to 7 by face number."""

    id: str
    sex: str
    age: int
    prefers: str
    ratings: Mapping[str, int]


@dataclass(frozen=True)
class Taste:
    """What a rater rated highest and lowest of their preferred gender, and the rest."""

    liked: Sequence[Face]
    disliked: Sequence[Face]
    rest: Sequence[Face]
    middle: float  # the rater's median rating of all faces of that gender
    tied: bool  # whether a sixth face was rated as high or as low as a fifth


def faces() -> list[Face]:
    """Everybody in the set, by number."""
    with (FOLDER / "people.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [
        Face(row["face"], _whole(row["age"]), GENDERS[row["gender"]]) for row in rows
    ]


def raters() -> list[Rater]:
    """Everybody who rated and said their sex, by id."""
    with gzip.open(FOLDER / "ratings.csv.gz", "rt", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["sex"]]
    known = sorted(rows, key=lambda row: row["rater"])
    return [_rater(row) for row in known]


def taste(rater: Rater, people: Iterable[Face]) -> Taste:
    """What a rater likes; equal ratings are ordered by the number of the face.

    Raises ValueError for a rater who does not prefer one gender: across genders,
    orientation alone would win.
    """
    if not rater.prefers:
        raise ValueError(f"Rater {rater.id} prefers no one gender.")
    mine = sorted(
        (face for face in people if face.gender == rater.prefers),
        key=lambda face: (-rater.ratings[face.number], face.number),
    )
    rated = [rater.ratings[face.number] for face in mine]
    return Taste(
        liked=mine[:EXAMPLES],
        disliked=mine[-EXAMPLES:],
        rest=mine[EXAMPLES:-EXAMPLES],
        middle=median(rated),
        tied=rated[EXAMPLES - 1] == rated[EXAMPLES]
        or rated[-EXAMPLES] == rated[-EXAMPLES - 1],
    )


def clear_rater(people: Sequence[Face], known: Iterable[Rater]) -> Rater:
    """The first rater by id whose five highest and five lowest no tie cuts through.

    A rule, not a choice: nobody looked at which rater the search does well for.
    """
    return next(
        rater for rater in known if rater.prefers and not taste(rater, people).tied
    )


def average_by_others(rater: Rater, known: Iterable[Rater]) -> dict[str, float]:
    """The mean rating of every face by all other raters: the baseline to beat."""
    others = [other.ratings for other in known if other.id != rater.id]
    return {
        face: sum(ratings[face] for ratings in others) / len(others)
        for face in rater.ratings
    }


def _rater(row: dict[str, str]) -> Rater:
    return Rater(
        id=row["rater"],
        sex=GENDERS[row["sex"]],
        age=int(float(row["age"])),
        prefers=PREFERRED.get(row["prefers"], ""),
        ratings={name: int(text) for name, text in row.items() if name.isdigit()},
    )


def _whole(text: str) -> int | None:
    return int(float(text)) if text else None
