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
from matching.training.splits import Part

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


def divided(
    triplets: Triplets, part: npt.NDArray[np.str_]
) -> tuple[Triplets, Triplets, Triplets]:
    """Triplets to learn from, to stop by, to measure on; `part` (m,) is the choosers'.

    A match is mutual: who has learned one side of a pair knows the other. So what is
    learned from has no pair of the other two, in whichever order, and what stops the
    training none of what measures it.
    """
    learned, validation, unseen = (triplets[part == p] for p in Part)
    validation = _without_pairs_of(unseen, validation)
    kept_back = np.concatenate([validation, unseen])
    return _without_pairs_of(kept_back, learned), validation, unseen


def _without_pairs_of(others: Triplets, triplets: Triplets) -> Triplets:
    return triplets[~np.isin(_pairs(triplets), _pairs(others)).any(axis=1)]


def _pairs(triplets: Triplets) -> Triplets:
    """A number for each of a triplet's two pairs, (m, 2), the same in either order."""
    person, chosen = triplets[:, :1], triplets[:, 1:]
    larger = np.maximum(person, chosen)
    numbers: Triplets = larger * (larger + 1) // 2 + np.minimum(person, chosen)
    return numbers


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
