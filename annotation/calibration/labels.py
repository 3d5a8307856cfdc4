"""The file of labels: `photo,attribute,value`, one label a line. Pure.

No error repeats what a line says, which may be a photo's name: it says which line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from annotation.schema import BY_NAME, NOT_VISIBLE, Attribute, Kind

COLUMNS: Final = ("photo", "attribute", "value")
# Of an attribute of many that can be seen: no value of it is there.
NONE_OF_THESE: Final = "none_of_these"
BETWEEN: Final = "|"


class LabelsError(Exception):
    """The file cannot be used; the message names the line and says what to do."""


@dataclass(frozen=True)
class Label:
    """What somebody says of one attribute of a photo, which is an id or a path.

    `allowed` are the options: of `one` those that may be true, of `many` all that are
    there, or `not_visible` alone.
    """

    line: int
    photo: str
    attribute: str
    allowed: frozenset[str]


def parse(lines: Iterable[str]) -> list[Label]:
    """The labels of a CSV file with a header. Raises LabelsError."""
    rows = csv.DictReader(lines, strict=True)
    try:
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise LabelsError(f"Line 1 must be the header {','.join(COLUMNS)}.")
        labels = [_label(rows.line_num, row) for row in rows]
    except csv.Error as error:
        raise LabelsError(f"Line {rows.line_num} is no CSV: {error}.") from None
    if not labels:
        raise LabelsError("There is no label in the file, only its header.")
    return labels


def _label(line: int, row: dict[str, str]) -> Label:
    if None in row or None in row.values() or not row["photo"].strip():
        raise LabelsError(f"Line {line} must have {', '.join(COLUMNS)}.")
    name = row["attribute"].strip()
    if name not in BY_NAME:
        known = ", ".join(BY_NAME)
        raise LabelsError(f"Line {line}: no such attribute; there are {known}.")
    given = frozenset(value.strip() for value in row["value"].split(BETWEEN))
    allowed = _allowed(line, BY_NAME[name], given)
    return Label(line, row["photo"].strip(), name, allowed)


def _allowed(line: int, attribute: Attribute, given: frozenset[str]) -> frozenset[str]:
    is_many = attribute.kind is Kind.MANY
    alone = (NOT_VISIBLE, NONE_OF_THESE) if is_many else ()
    known = {*attribute.values, NOT_VISIBLE, *alone}
    if not given <= known:
        listed = ", ".join((*attribute.values, *(alone or (NOT_VISIBLE,))))
        raise LabelsError(
            f"Line {line}: {attribute.name} has no such value; there are {listed}."
        )
    if len(given) > 1 and given & set(alone):
        raise LabelsError(f"Line {line}: {' and '.join(alone)} go with no other value.")
    return given - {NONE_OF_THESE}


def refuse_twice(labels: Iterable[tuple[str, Label]]) -> None:
    """LabelsError where a photo is labelled twice; each label comes with its photo.

    A photo is whatever is the same for all its names, such as a hash of its bytes.
    """
    first: dict[tuple[str, str], Label] = {}
    for photo, label in labels:
        before = first.setdefault((photo, label.attribute), label)
        if before is label:
            continue
        same = (
            "" if before.photo == label.photo else " It is the same photo by its bytes."
        )
        raise LabelsError(
            f"Line {label.line} labels what line {before.line} has labelled; keep one."
            f"{same} Values that are all possible go into one line, with {BETWEEN}."
        )
