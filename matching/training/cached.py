"""Cached features: photos that an annotator has read, and whose they are."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation import services as annotation
from profiles.models import Photo, Profile

# Whoever may be found is learned from, people with all their photos, up to so many:
# a gigabyte of Qwen's features.
MAX_PHOTOS = 200_000
# Whose photo, its features (width,), and who has read it.
Read = tuple[str, npt.NDArray[np.float32], str]
# What reading a file raises that is not what it should be: RuntimeError is of an .npz
# that damage makes look encrypted, or packed in a way unknown.
DAMAGED = (
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class FeaturesError(Exception):
    """There is nothing to learn from; the message says what is missing."""


@dataclass(frozen=True, eq=False)
class CachedFeatures:
    """n photos as `annotator` read them: `features` (n, width), `people` (n,) names."""

    features: npt.NDArray[np.float32]
    people: npt.NDArray[np.str_]
    annotator: str

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.people):
            raise FeaturesError("Every photo needs features of one width and a person.")
        if not np.isfinite(self.features).all():
            raise FeaturesError("Some features are not numbers.")

    def __len__(self) -> int:
        return len(self.people)

    @property
    def width(self) -> int:
        return int(self.features.shape[1])

    def where(self, chosen: npt.NDArray[np.bool_]) -> CachedFeatures:
        """The photos chosen by a mask (n,)."""
        return CachedFeatures(
            self.features[chosen], self.people[chosen], self.annotator
        )


def from_database(encoder: str) -> CachedFeatures:
    """What this annotator has read of the published photos of people who may be found.

    Nobody who was made up, and nobody who has withdrawn their consent.
    """
    # That they have a published photo need not be looked up: it is what is read.
    active = Profile.objects.filter(status=Profile.Status.ACTIVE, synthetic=False)
    people = active.filter(consented_at__isnull=False)
    photos = Photo.objects.published().filter(owner__in=people)
    read = annotation.stored_features(encoder, photos, limit=MAX_PHOTOS)
    return _stacked([(str(owner), features) for owner, features in read], encoder)


def from_file(file: Path) -> CachedFeatures:
    """The features of a file: JSON lines that annotatephotos wrote, or an .npz.

    In JSON lines a person is a folder of photos, or what the line names as `person`.
    An .npz holds `features` (n, width), `people` (n,) and `annotator`.
    """
    try:
        return _of_npz(file) if file.suffix == ".npz" else _of_jsonl(file)
    except OSError as error:
        raise FeaturesError(f"{file} cannot be read: {error.strerror}.") from None
    except DAMAGED:
        raise FeaturesError(
            f"{file} holds no features of photos, or is damaged: write it anew, with "
            "annotatephotos or as an .npz with features, people and annotator."
        ) from None


def _of_npz(file: Path) -> CachedFeatures:
    # Opened here, as numpy would leave a damaged file open.
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        return CachedFeatures(
            arrays["features"].astype(np.float32),
            arrays["people"].astype(np.str_),
            str(arrays["annotator"]),
        )


def _of_jsonl(file: Path) -> CachedFeatures:
    photos = list(_photos(file))
    annotators = {annotator for _, _, annotator in photos}
    if len(annotators) > 1 or "" in annotators:
        raise FeaturesError(
            f"{file} must say who has read it, and be of one annotator: read the "
            "photos anew with annotatephotos."
        )
    read = [(person, features) for person, features, _ in photos]
    return _stacked(read, annotators.pop() if annotators else "")


def _photos(file: Path) -> Iterator[Read]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                photo = _photo(json.loads(line))
            except (ValueError, KeyError, TypeError):
                raise FeaturesError(
                    f"{file}, line {number}, holds no features of a photo: it must be "
                    "a JSON object with a list of features, and as text annotator and "
                    "file or person, as annotatephotos writes it."
                ) from None
            if photo:
                yield photo


def _photo(line: Any) -> Read | None:
    """None where the photo could not be read. Raises TypeError of what is no photo."""
    if not isinstance(line, dict):
        raise TypeError(line)
    if line.get("features") is None:
        return None
    features = np.array(line["features"], dtype=np.float32)
    person, annotator = line.get("person"), line.get("annotator", "")
    texts = isinstance(person, str | None) and isinstance(annotator, str)
    if not texts or features.ndim != 1:
        raise TypeError(line)
    return person or str(Path(line["file"]).parent), features, annotator


def _stacked(
    read: list[tuple[str, npt.NDArray[np.float32]]], annotator: str
) -> CachedFeatures:
    if not read:
        raise FeaturesError("No photo with features: run annotate first.")
    if len({len(features) for _, features in read}) > 1:
        raise FeaturesError("The photos' features differ in width.")
    people, features = zip(*read, strict=True)
    return CachedFeatures(np.stack(features), np.array(people), annotator)
