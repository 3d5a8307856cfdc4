"""All figures of one annotator, from photos that it reads as it reads uploads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from annotation.evaluation import attributes, cases
from annotation.evaluation.cases import CELEBA, Cases
from annotation.evaluation.seen import Seen
from matching.evaluation.identity import identity
from matching.evaluation.london import London, london
from matching.evaluation.taste import taste
from matching.features import Sighting
from matching.projection import untrained

# Per data set, to choose thresholds on: more would move them by little.
THRESHOLD_PHOTOS: Final = 2000
DECIMALS: Final = 4
# Where each headline is found; of every one more is better.
HEADLINES: Final = {
    "faces_auc": ("attributes", "faces", "means", "auc", "value"),
    "clothes_auc": ("attributes", "clothes", "means", "auc", "value"),
    "lower_halves_not_visible": ("attributes", "lower_halves_not_visible", "value"),
    "identity_recall_at_1": ("embedding", "annotator", "recall_at_1", "value"),
    "taste_auc": ("taste", "plain", "both", "auc", "value"),
}

Figures = dict[str, Any]
Read = Callable[[Sequence[bytes]], Seen]


@dataclass(frozen=True, eq=False)
class Material:
    """Photos kept from training, others to choose thresholds on, and rated faces.

    `unaligned` are the faces of `kept` once more, as people's cameras take them.
    """

    kept: Cases
    unaligned: Cases
    taught: Cases
    rated: London

    @property
    def photos(self) -> int:
        """How many are to be read."""
        cases = (self.kept, self.unaligned, self.taught)
        return sum(map(len, cases)) + len(self.rated.photos)


def gather(folder: Path, limit: int | None = None) -> Material:
    """The photos of a data folder, at most `limit` of each data set and part.

    Raises OSError where a file is missing.
    """
    for_thresholds = min(limit or THRESHOLD_PHOTOS, THRESHOLD_PHOTOS)
    return Material(
        cases.kept(folder, limit),
        cases.unaligned(folder, limit),
        cases.taught(folder, for_thresholds),
        london(folder),
    )


def evaluate(read: Read, material: Material) -> Figures:
    """Every figure, rounded; None where an annotator gives nothing to measure."""
    seen, unaligned = read(material.kept.photos), read(material.unaligned.photos)
    taught, rated = read(material.taught.photos), read(material.rated.photos)
    thresholds = attributes.thresholds(taught.attributes, material.taught)
    failed = Counter[str]()
    for part in (seen, unaligned, taught, rated):
        failed.update(part.failed)
    figures = {
        "photos": {
            "measured": len(material.kept),
            "unaligned": len(material.unaligned),
            "for_thresholds": len(material.taught),
            "rated": len(material.rated.photos),
            "failed": dict(failed),
        },
        "attributes": attributes.measure(seen.attributes, material.kept, thresholds),
        "unaligned": attributes.measure_faces(
            unaligned.attributes, material.unaligned, thresholds
        ),
        "embedding": _embedding(seen, material.kept),
        "taste": taste(sightings(rated), material.rated),
    }
    found: Figures = _rounded({"headlines": _headlines(figures)} | figures)
    return found


def _embedding(seen: Seen, kept: Cases) -> Figures | None:
    if seen.features is None:
        return None
    faces = kept.among(CELEBA)
    photos = [kept.photos[row] for row in np.flatnonzero(faces)]
    project = untrained(width=seen.features.shape[1])
    return identity(project, seen.features[faces], photos, kept.identity[faces])


def sightings(seen: Seen) -> list[Sighting]:
    """What searches would know of each photo, with the features untrained."""
    if seen.features is None:
        return [Sighting(one) for one in seen.attributes]
    embeddings = untrained(width=seen.features.shape[1])(seen.features)
    return [
        Sighting(one, embedding if embedding.any() else None)
        for one, embedding in zip(seen.attributes, embeddings, strict=True)
    ]


def _headlines(figures: Figures) -> dict[str, float]:
    """The few figures that a version is accepted by; those that there are."""
    found = {name: _at(figures, path) for name, path in HEADLINES.items()}
    return {name: value for name, value in found.items() if value is not None}


def _at(figures: Figures, path: Sequence[str]) -> float | None:
    value: Any = figures
    for name in path:
        value = None if value is None else value[name]
    return None if value is None or math.isnan(value) else float(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, DECIMALS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
