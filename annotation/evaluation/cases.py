"""Photos with what people say of them, as they would be uploaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from annotation.evaluation import labels, sources
from annotation.evaluation.labels import TargetRow, Targets
from annotation.evaluation.snapshots import snapshot
from annotation.evaluation.sources import Example
from annotation.small.heads import FACE_HEADS, PHOTO_HEADS

CELEBA, CCP, STANFORD, LOWER_HALF = "celeba", "ccp", "stanford", "lower half"
CLOTHING: Final = (CCP, STANFORD)


@dataclass(frozen=True)
class Case:
    """A photo to be read, with the targets of both views side by side."""

    photo: bytes
    kind: str
    targets: Targets
    labels: Any
    identity: int = -1


@dataclass(frozen=True, eq=False)
class Cases:
    """n cases in columns; `photos` are encoded, `kind` says where they are from."""

    photos: list[bytes]
    kind: npt.NDArray[np.str_]
    targets: Targets
    labels: list[Any]
    identity: npt.NDArray[np.int64]

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Cases:
        rows = list(cases)
        return cls(
            [row.photo for row in rows],
            np.array([row.kind for row in rows], np.str_),
            np.stack([row.targets for row in rows]),
            [row.labels for row in rows],
            np.array([row.identity for row in rows], np.int64),
        )

    def __len__(self) -> int:
        return len(self.photos)

    def among(self, *kinds: str) -> npt.NDArray[np.bool_]:
        """Which cases are of one of these kinds, (n,)."""
        return np.isin(self.kind, kinds)

    def pairs(self) -> npt.NDArray[np.int64]:
        """A number for every case, the same for a photo and its lower half, (n,)."""
        return np.cumsum(~self.among(LOWER_HALF))

    def says(self, label: str, *, value: bool) -> npt.NDArray[np.bool_]:
        """Which of CelebA's photos have this label so, (n,); no other has."""
        faces = self.among(CELEBA)
        return np.array(
            [
                face and said[label] is value
                for face, said in zip(faces, self.labels, strict=True)
            ],
            np.bool_,
        )


def kept(folder: Path, limit: int | None = None) -> Cases:
    """CelebA's validation split, a fifth of the street photos, their lower halves.

    At most `limit` of each data set. A lower half follows its photo.
    """
    return Cases.of(_with_lower_halves(_whole(folder, limit, validation=True)))


def taught(folder: Path, limit: int | None = None) -> Cases:
    """Whole photos trained on, at most `limit` of each data set."""
    return Cases.of(_whole(folder, limit, validation=False))


def unaligned(folder: Path, limit: int | None = None) -> Cases:
    """CelebA's validation split as people's cameras take faces (`snapshots`).

    At most `limit`; the same photos and labels as `kept` has.
    """
    return Cases.of(
        replace(case, photo=snapshot(case.photo, number))
        for number, case in enumerate(_faces(folder, limit, validation=True))
    )


def _whole(folder: Path, limit: int | None, *, validation: bool) -> Iterator[Case]:
    yield from _faces(folder, limit, validation=validation)
    for example in sources.clothing_co_parsing(folder, limit, validation=validation):
        yield _street(example, CCP, labels.ccp_photo(example.labels))
    for example in sources.stanford_clothing(folder, limit, validation=validation):
        yield _street(example, STANFORD, labels.stanford_photo(example.labels))


def _faces(folder: Path, limit: int | None, *, validation: bool) -> Iterator[Case]:
    for example in sources.celeba(folder, limit, validation=validation):
        faces = labels.celeba_face(example.labels)
        both = np.concatenate([faces, labels.celeba_photo(example.labels)])
        yield Case(example.data, CELEBA, both, example.labels, example.identity)


def _street(example: Example, kind: str, clothes: Targets) -> Case:
    both = np.concatenate([TargetRow(FACE_HEADS).values, clothes])
    return Case(example.data, kind, both, example.labels)


def _with_lower_halves(cases: Iterable[Case]) -> Iterator[Case]:
    """Street photos are followed by their lower half, where nobody's face can be."""
    nothing = np.concatenate([labels.no_face(), TargetRow(PHOTO_HEADS).values])
    for case in cases:
        yield case
        if case.kind in CLOTHING:
            yield Case(_lower_half(case.photo), LOWER_HALF, nothing, case.labels)


def _lower_half(data: bytes) -> bytes:
    """Without loss, for nothing but the face is to be missing."""
    photo = sources.pixels(data)
    lower = cv2.cvtColor(photo[photo.shape[0] // 2 :], cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", lower)[1].tobytes()
