"""What came of the people shown: log-odds before any stage, and liked or not."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

LIKED: Final = {"1": True, "true": True, "0": False, "false": False}
COLUMNS: Final = {"score", "liked"}


class Outcome(NamedTuple):
    """Of somebody shown: log-odds before any stage, whether liked, and by whom."""

    score: float
    liked: bool
    viewer: str


class OutcomesError(Exception):
    """The outcomes cannot be used; the message says what to do about it."""


def parse(lines: Iterable[str]) -> list[Outcome]:
    """Of a CSV with the columns `score` and `liked` (1 or 0), and perhaps `viewer`.

    Where no viewer is named, each line is of another. Raises OutcomesError, which names
    the line.
    """
    rows = csv.DictReader(lines)
    if not set(rows.fieldnames or ()) >= COLUMNS:
        raise OutcomesError("The first line must name the columns score and liked.")
    return [_outcome(row, line=rows.line_num) for row in rows]


def _outcome(row: Mapping[str, str | None], *, line: int) -> Outcome:
    try:
        score = float(row["score"] or "")
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise OutcomesError(f"Line {line}: score must be log-odds, a finite number.")
    liked = LIKED.get((row["liked"] or "").strip().lower())
    if liked is None:
        raise OutcomesError(f"Line {line}: liked must be 1 or 0.")
    return Outcome(score, liked, row.get("viewer") or f"line {line}")
