"""What is taken to be true of a photo: corrections over the active model's reading."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.backends.base import AnnotatorVersion
from annotation.models import Annotation, Correction
from annotation.schema import BY_NAME, Attributes, unseen_attributes
from annotation.services.reading import FEATURES_TYPE
from annotation.services.requesting import current_readings, version_fields


@dataclass(frozen=True)
class EffectiveReading:
    """What is taken to be true of a photo: corrections over an annotator's reading.

    `features` are float32 of shape (width,), comparable only within one `annotator`,
    which is the name of its version.
    """

    attributes: Attributes
    features: npt.NDArray[np.float32] | None
    annotator: str
    corrected: frozenset[str]


def effective_readings(
    photo_ids: Iterable[uuid.UUID], *, annotator: str = ""
) -> dict[uuid.UUID, EffectiveReading]:
    """What is seen in each photo; photos that have not been read are absent.

    The active version's reading counts, or that of the version named `annotator`
    where there is one: so that a search stays in its feature space while photos are
    read anew.
    """
    ids = list(photo_ids)
    rows = {}
    for row in current_readings(annotator).filter(photo_id__in=ids):
        if row.photo_id not in rows or _version_name(row) == annotator:
            rows[row.photo_id] = row
    corrections = _standing_corrections(ids)
    return {pk: _effective(row, corrections.get(pk, {})) for pk, row in rows.items()}


def _standing_corrections(
    ids: Sequence[uuid.UUID],
) -> dict[uuid.UUID, dict[str, Any]]:
    corrections: dict[uuid.UUID, dict[str, Any]] = {}
    rows = Correction.objects.standing().filter(photo_id__in=ids)
    for row in rows.values_list("photo_id", "attribute", "distribution"):
        photo_id, attribute, distribution = row
        corrections.setdefault(photo_id, {})[attribute] = distribution
    return corrections


def _version_name(row: Annotation) -> str:
    return AnnotatorVersion(row.backend, row.model, row.prompt_version).name


def _effective(row: Annotation, corrections: dict[str, Any]) -> EffectiveReading:
    known = {name: d for name, d in corrections.items() if name in BY_NAME}
    features = None
    if row.features is not None:
        features = np.frombuffer(row.features, FEATURES_TYPE).astype(np.float32)
    return EffectiveReading(
        attributes={**unseen_attributes(), **row.attributes, **known},
        features=features,
        annotator=_version_name(row),
        corrected=frozenset(known),
    )


def features_width() -> int | None:
    """How many features the active version gives; None before its first reading."""
    rows = current_readings().exclude(features=None).values_list("features", flat=True)
    features = rows.first()
    return None if features is None else len(features) // FEATURES_TYPE.itemsize


def reading_status(photo_id: uuid.UUID) -> tuple[str, str]:
    """("pending" | "done" | "failed" | "none", the failure's reason or "")."""
    row = (
        Annotation.objects.filter(photo_id=photo_id, **version_fields())
        .values_list("status", "failure")
        .first()
    )
    return row or ("none", "")
