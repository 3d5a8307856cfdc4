"""Triplets of feedback: a person, somebody they matched with, somebody they passed.

A file of JSON lines, {"person": …, "matched": …, "passed": …}, each a person's name as
the features have it: the id of a profile, or a folder of photos.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from matching.training.cached import CachedFeatures, FeaturesError

ROLES = ("person", "matched", "passed")
Triplets = npt.NDArray[np.intp]


def read_triplets(file: Path, cached: CachedFeatures) -> tuple[Triplets, int]:
    """Triplets as places among the people of `cached`, sorted, (m, 3), without double.

    Those of somebody without features are left out; also returns how many.
    """
    names = np.unique(cached.people).tolist()
    place = {name: index for index, name in enumerate(names)}
    found, unknown = set(), 0
    for line in _lines(file):
        if all(name in place for name in line):
            found.add(tuple(place[name] for name in line))
        else:
            unknown += 1
    if not found:
        raise FeaturesError("No triplet is of three people who have been read.")
    return np.array(sorted(found), dtype=np.intp), unknown


def _lines(file: Path) -> list[tuple[str, ...]]:
    try:
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        return [tuple(str(row[role]) for role in ROLES) for row in rows]
    except OSError as error:
        raise FeaturesError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise FeaturesError(
            f"{file} must hold JSON lines with {', '.join(ROLES)}."
        ) from None
