"""Training material: every example as the views that the network will be given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from annotation.evaluation import labels
from annotation.evaluation.labels import Targets
from annotation.evaluation.sources import (
    Example,
    celeba,
    clothing_co_parsing,
    stanford_clothing,
)
from annotation.small.faces import Box, find_faces
from annotation.small.framing import cut, face_frame, letterbox
from annotation.small.pixels import Image
from annotation.training import further

PHOTO_SIZE: Final = (192, 144)  # height, width: room for augmentation to zoom
CELEBA, CLOTHING, NEITHER = 0, 1, 2


@dataclass(frozen=True)
class _Street:
    example: Example
    photo_targets: Callable[[Any], Targets]
    auxiliary: Callable[[Any], Targets]
    face_targets: Callable[[Any, float], Targets] | None = None


@dataclass(frozen=True)
class View:
    """One view of one example with everything that is known of it."""

    image: Image
    targets: Targets
    auxiliary: Targets
    identity: int
    source: int
    validation: bool


@dataclass(frozen=True)
class Views:
    """Views as columns: images (n, h, w, 3), targets (n, w), the others (n, …)."""

    images: Image
    targets: Targets
    auxiliary: Targets
    identity: npt.NDArray[np.int64]
    source: npt.NDArray[np.int64]
    validation: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, views: Iterable[View]) -> Views:
        rows = list(views)
        return cls(
            np.stack([row.image for row in rows]),
            np.stack([row.targets for row in rows]),
            np.stack([row.auxiliary for row in rows]),
            np.array([row.identity for row in rows], np.int64),
            np.array([row.source for row in rows], np.int64),
            np.array([row.validation for row in rows]),
        )

    def where(self, kept: npt.NDArray[Any]) -> Views:
        """The rows that a mask or an array of positions names."""
        return Views(
            self.images[kept],
            self.targets[kept],
            self.auxiliary[kept],
            self.identity[kept],
            self.source[kept],
            self.validation[kept],
        )


def load(
    folder: Path, *, seed: int = 0, limit: int | None = None
) -> tuple[Views, Views]:
    """Face views and photo views of the whole training folder."""
    faces = list(celeba(folder, limit))
    ccp = list(clothing_co_parsing(folder, limit))
    stanford = list(stanford_clothing(folder, limit))
    streets = [_Street(e, labels.ccp_photo, further.ccp, labels.ccp_face) for e in ccp]
    streets += [_Street(e, labels.stanford_photo, further.stanford) for e in stanford]
    rng = np.random.default_rng(seed)
    return (
        Views.of(chain(map(_celeba_face, faces), _street_faces(streets, rng))),
        Views.of(chain(map(_celeba_photo, faces), _street_photos(streets))),
    )


def _celeba_face(example: Example) -> View:
    return View(
        example.photo,
        labels.celeba_face(example.labels),
        further.celeba(example.labels),
        example.identity,
        CELEBA,
        example.validation,
    )


def _celeba_photo(example: Example) -> View:
    return View(
        letterbox(example.photo, *PHOTO_SIZE),
        labels.celeba_photo(example.labels),
        further.unknown(further.OF_CLOTHES),
        -1,
        CELEBA,
        example.validation,
    )


def _street_photos(streets: list[_Street]) -> Iterator[View]:
    for street in streets:
        example = street.example
        yield View(
            letterbox(example.photo, *PHOTO_SIZE),
            street.photo_targets(example.labels),
            street.auxiliary(example.labels),
            -1,
            CLOTHING,
            example.validation,
        )


def _street_faces(streets: list[_Street], rng: np.random.Generator) -> Iterator[View]:
    """Faces found in street photos, and crops of them that hold no face."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(_face_above, (street.example.photo for street in streets))
        for street, face in zip(streets, found, strict=True):
            example, targets = street.example, street.face_targets
            if face is not None and targets is not None:
                seen = targets(example.labels, face.side)
                yield _street_face(example, face.frame(), seen, CLOTHING)
            for frame in _faceless(example.photo, face, rng):
                yield _street_face(example, frame, labels.no_face(), NEITHER)


def _street_face(example: Example, frame: Box, targets: Targets, source: int) -> View:
    return View(
        cut(example.photo, frame),
        targets,
        further.unknown(further.OF_FACES),
        -1,
        source,
        example.validation,
    )


def _face_above(photo: Image) -> Box | None:
    """The face of a standing person: the largest find in the photo's upper third."""
    upper = photo[: photo.shape[0] * 2 // 5]
    centred = (
        box
        for box in find_faces(upper)
        if 0.2 < (box.x + box.side / 2) / photo.shape[1] < 0.8
    )
    return next(centred, None)


def _faceless(
    photo: Image, face: Box | None, rng: np.random.Generator
) -> Iterator[Box]:
    """A random square below the head, and the square searched where none was found."""
    height, width = photo.shape[:2]
    side = float(rng.uniform(0.15, 0.55)) * height
    top = rng.uniform(0.35 * height, max(0.36 * height, height - side))
    yield Box(float(rng.uniform(0, max(1, width - side))), float(top), side)
    # A face this small in the square is not one that the face view could show.
    if face is None or face.side < width / 4:
        yield face_frame(photo, [])
