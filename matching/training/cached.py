"""Cached features: photos that an annotator has read, and whose they are."""

from __future__ import annotations

import json
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
    except (ValueError, KeyError, TypeError):
        raise FeaturesError(f"{file} holds no features of photos.") from None


def _of_npz(file: Path) -> CachedFeatures:
    with np.load(file, allow_pickle=False) as arrays:
        return CachedFeatures(
            arrays["features"].astype(np.float32),
            arrays["people"].astype(np.str_),
            str(arrays["annotator"]),
        )


def _of_jsonl(file: Path) -> CachedFeatures:
    read: list[tuple[str, npt.NDArray[np.float32]]] = []
    annotators: set[str] = set()
    for line in _lines(file):
        if line.get("features") is None:  # the photo could not be read
            continue
        person = line.get("person") or str(Path(line["file"]).parent)
        read.append((person, np.array(line["features"], dtype=np.float32)))
        annotators.add(line.get("annotator", ""))
    if len(annotators) > 1 or "" in annotators:
        raise FeaturesError(
            f"{file} must say who has read it, and be of one annotator: read the "
            "photos anew with annotatephotos."
        )
    return _stacked(read, annotators.pop() if annotators else "")


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _stacked(
    read: list[tuple[str, npt.NDArray[np.float32]]], annotator: str
) -> CachedFeatures:
    if not read:
        raise FeaturesError("No photo with features: run annotate first.")
    if len({len(features) for _, features in read}) > 1:
        raise FeaturesError("The photos' features differ in width.")
    people, features = zip(*read, strict=True)
    return CachedFeatures(np.stack(features), np.array(people), annotator)
