"""What came of the people shown: log-odds before any stage, and liked or not."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from typing import Final

LIKED: Final = {"1": True, "true": True, "0": False, "false": False}
COLUMNS: Final = {"score", "liked"}


class OutcomesError(Exception):
    """The outcomes cannot be used; the message says what to do about it."""


def parse(lines: Iterable[str]) -> tuple[list[float], list[bool]]:
    """Scores and likes of a CSV with the columns `score` and `liked` (1 or 0).

    Raises OutcomesError, which names the line.
    """
    rows = csv.DictReader(lines)
    if not set(rows.fieldnames or ()) >= COLUMNS:
        raise OutcomesError("The first line must name the columns score and liked.")
    scores, liked = [], []
    for row in rows:
        score, outcome = _outcome(row, line=rows.line_num)
        scores.append(score)
        liked.append(outcome)
    return scores, liked


def _outcome(row: Mapping[str, str | None], *, line: int) -> tuple[float, bool]:
    try:
        score = float(row["score"] or "")
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise OutcomesError(f"Line {line}: score must be log-odds, a finite number.")
    liked = LIKED.get((row["liked"] or "").strip().lower())
    if liked is None:
        raise OutcomesError(f"Line {line}: liked must be 1 or 0.")
    return score, liked
