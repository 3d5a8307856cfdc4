"""Photos kept from training, seen as the product sees them: found, cut, letterboxed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.small.framing import Image, look
from annotation.small.heads import FACE_HEADS, PHOTO_HEADS
from annotation.training import labels, sources
from annotation.training.labels import TargetRow, Targets
from annotation.training.sources import Example

CELEBA, CLOTHING, LOWER_HALF = "celeba", "clothing", "lower half"


@dataclass(frozen=True)
class Case:
    """A photo to be read, with the targets of both views side by side."""

    photo: Image
    kind: str
    targets: Targets
    labels: Any
    identity: int = -1


@dataclass(frozen=True)
class Cases:
    """Cases in columns; `faces` and `photos` are uint8 views (n, h, w, 3).

    `room` (n,) as in `annotation.small.framing`.
    """

    faces: Image
    photos: Image
    room: npt.NDArray[np.float32]
    kind: npt.NDArray[np.str_]
    targets: Targets
    labels: list[Any]
    identity: npt.NDArray[np.int64]


def cases(folder: Path, limit: int | None = None) -> Cases:
    """CelebA's validation split, a fifth of the street photos, their lower halves."""
    return _seen(_cases(folder, limit, _kept))


def learned(folder: Path, limit: int | None = None) -> Cases:
    """Whole photos trained on, as `cases`: thresholds are chosen on them."""
    found = _cases(folder, limit, _taught)
    return _seen(case for case in found if case.kind != LOWER_HALF)


def _seen(found: Iterable[Case]) -> Cases:
    rows = list(found)
    with ThreadPoolExecutor(2) as pool:
        looks = list(pool.map(look, (row.photo for row in rows)))
    return Cases(
        np.stack([seen.face for seen in looks]),
        np.stack([seen.photo for seen in looks]),
        np.array([seen.room for seen in looks], np.float32),
        np.array([row.kind for row in rows]),
        np.stack([row.targets for row in rows]),
        [row.labels for row in rows],
        np.array([row.identity for row in rows], np.int64),
    )


def _cases(
    folder: Path, limit: int | None, chosen: Callable[[Example], bool]
) -> Iterator[Case]:
    for example in filter(chosen, sources.celeba(folder, limit)):
        faces = labels.celeba_face(example.labels)
        photos = labels.celeba_photo(example.labels)
        both = np.concatenate([faces, photos])
        yield Case(example.photo, CELEBA, both, example.labels, example.identity)
    for example in filter(chosen, sources.clothing_co_parsing(folder, limit)):
        photos = labels.ccp_photo(example.labels)
        yield from _street(example, photos)
    for example in filter(chosen, sources.stanford_clothing(folder, limit)):
        yield from _street(example, labels.stanford_photo(example.labels))


def _kept(example: Example) -> bool:
    return example.validation


def _taught(example: Example) -> bool:
    return not example.validation


def _street(example: Example, photos: Targets) -> Iterator[Case]:
    """The whole photo, and its lower half, in which nobody's face can be."""
    faces = TargetRow(FACE_HEADS).values
    whole = np.concatenate([faces, photos])
    yield Case(example.photo, CLOTHING, whole, example.labels)
    nothing = np.concatenate([labels.no_face(), TargetRow(PHOTO_HEADS).values])
    lower = example.photo[example.photo.shape[0] // 2 :]
    yield Case(lower, LOWER_HALF, nothing, example.labels)
