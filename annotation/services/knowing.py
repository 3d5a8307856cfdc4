"""What is taken to be true of a photo: corrections over the active model's reading."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.models import Annotation, Correction
from annotation.schema import BY_NAME, Attributes, unseen_attributes
from annotation.services.reading import FEATURES_TYPE
from annotation.services.requesting import current_readings, version_fields


@dataclass(frozen=True)
class EffectiveReading:
    """What is taken to be true of a photo: corrections over the active model's reading.

    `features` are float32 of shape (width,), comparable only within `model`.
    """

    attributes: Attributes
    features: npt.NDArray[np.float32] | None
    model: str
    corrected: frozenset[str]


def effective_readings(
    photo_ids: Iterable[uuid.UUID],
) -> dict[uuid.UUID, EffectiveReading]:
    """What is seen in each photo; photos the active model has not read are absent."""
    ids = list(photo_ids)
    rows = current_readings().filter(photo_id__in=ids)
    corrections: dict[uuid.UUID, dict[str, Any]] = {}
    for photo_id, attribute, distribution in (
        Correction.objects.standing()
        .filter(photo_id__in=ids)
        .values_list("photo_id", "attribute", "distribution")
    ):
        corrections.setdefault(photo_id, {})[attribute] = distribution
    return {
        row.photo_id: _effective(row, corrections.get(row.photo_id, {})) for row in rows
    }


def _effective(row: Annotation, corrections: dict[str, Any]) -> EffectiveReading:
    known = {name: d for name, d in corrections.items() if name in BY_NAME}
    features = None
    if row.features is not None:
        features = np.frombuffer(row.features, FEATURES_TYPE).astype(np.float32)
    return EffectiveReading(
        attributes={**unseen_attributes(), **row.attributes, **known},
        features=features,
        model=row.model,
        corrected=frozenset(known),
    )


def reading_status(photo_id: uuid.UUID) -> tuple[str, str]:
    """("pending" | "done" | "failed" | "none", the failure's reason or "")."""
    row = (
        Annotation.objects.filter(photo_id=photo_id, **version_fields())
        .values_list("status", "failure")
        .first()
    )
    return row or ("none", "")
