"""What is taken to be true of a photo: corrections over the active model's reading."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connection

from annotation.backends.base import AnnotatorVersion
from annotation.calibration.calibrator import AS_KEPT, RawReading
from annotation.models import Annotation
from annotation.schema import BY_NAME, SCHEMA_VERSION, Attributes, Distribution
from annotation.services.readers import (
    active_reader,
    calibrator_of,
    raw_reading,
    reader_of,
    version_of,
)
from annotation.services.requesting import (
    active_version,
    current_readings,
    unhurried,
    version_fields,
)
from annotation.services.settling import FEATURES_TYPE
from profiles.models import PhotoQuerySet

# Fixed, as every search asks them: Django takes longer to write such a query than
# Postgres to answer it.
READINGS: Final = """
SELECT id, photo_id, backend, model, prompt_version, source, attributes, mass, features
FROM annotation_annotation
WHERE photo_id = ANY(%(photos)s) AND status = 'done'
AND schema_version = %(schema)s AND (backend, model, prompt_version) IN
((%(backend)s, %(model)s, %(prompt)s), (%(its_backend)s, %(its_model)s, %(its_prompt)s))
"""
# As `CorrectionQuerySet.standing`: the latest last.
CORRECTIONS: Final = """
SELECT photo_id, attribute, distribution FROM annotation_correction
WHERE photo_id = ANY(%(photos)s) AND withdrawn_at IS NULL ORDER BY id
"""


@dataclass(frozen=True)
class EffectiveReading:
    """What is taken to be true of a photo: corrections over a calibrated reading.

    `annotator` is the name of the reader, see `readers`: readings are comparable only
    within one. `features` are float32 of shape (width,).
    """

    attributes: Attributes
    features: npt.NDArray[np.float32] | None
    annotator: str
    corrected: frozenset[str]


def effective_readings(
    photo_ids: Iterable[uuid.UUID], *, annotator: str = ""
) -> dict[uuid.UUID, EffectiveReading]:
    """What is seen in each photo; photos that have not been read are absent.

    The active reader's reading counts, or that of the reader named `annotator` where
    there is one, by exactly the calibration in that name: so that a search stays in its
    feature space while photos are read anew, or another calibration is activated.
    """
    ids = list(photo_ids)
    reader = annotator or active_reader()
    wanted = AnnotatorVersion.of_name(reader)
    rows: dict[uuid.UUID, Annotation] = {}
    for row in _readings(ids, wanted):
        if row.photo_id not in rows or version_of(row) == wanted:
            rows[row.photo_id] = row
    corrections = _standing_corrections(ids)
    named = [row for row in rows.values() if version_of(row) == wanted]
    others = [row for row in rows.values() if version_of(row) != wanted]
    found = _effective(named, reader, corrections) if named else {}
    if others:
        found |= _effective(others, active_reader(), corrections)
    return found


def calibrated(reader: str, said: Iterable[Attributes]) -> list[Attributes]:
    """What an annotator has said, or might have said, as this reader reads it."""
    return [*calibrator_of(reader).read([RawReading(one) for one in said])]


def is_calibrated(reader: str) -> bool:
    """Whether this reader changes anything of what an annotator has said."""
    return calibrator_of(reader) != AS_KEPT


def as_read(row: Annotation) -> EffectiveReading:
    """One row as its version is read at present, without corrections."""
    return _effective([row], reader_of(version_of(row)), {})[row.photo_id]


def _readings(
    ids: Sequence[uuid.UUID], version: AnnotatorVersion
) -> Iterable[Annotation]:
    """As `current_readings` of this version, with no more than is needed here."""
    active, asked = active_version(), {"photos": list(ids), "schema": SCHEMA_VERSION}
    by = {"backend": active.backend, "model": active.model, "prompt": active.prompt}
    its = {
        "its_backend": version.backend,
        "its_model": version.model,
        "its_prompt": version.prompt,
    }
    return Annotation.objects.raw(READINGS, {**asked, **by, **its})


def _standing_corrections(
    ids: Sequence[uuid.UUID],
) -> dict[uuid.UUID, dict[str, Any]]:
    corrections: dict[uuid.UUID, dict[str, Any]] = {}
    with connection.cursor() as cursor:
        cursor.execute(CORRECTIONS, {"photos": list(ids)})
        for photo_id, attribute, distribution in cursor.fetchall():
            if attribute in BY_NAME:
                said = corrections.setdefault(photo_id, {})
                said[attribute] = json.loads(distribution)
    return corrections


def _effective(
    rows: Sequence[Annotation],
    reader: str,
    corrections: Mapping[uuid.UUID, Mapping[str, Distribution]],
) -> dict[uuid.UUID, EffectiveReading]:
    """Those rows, all of this reader's version, by photo."""
    seen = calibrator_of(reader).read([raw_reading(row) for row in rows])
    found = {}
    for row, attributes in zip(rows, seen, strict=True):
        corrected = corrections.get(row.photo_id, {})
        found[row.photo_id] = EffectiveReading(
            attributes={**attributes, **corrected},
            features=_features(row),
            annotator=reader,
            corrected=frozenset(corrected),
        )
    return found


def stored_features(
    encoder: str, photos: PhotoQuerySet, *, limit: int
) -> Iterator[tuple[uuid.UUID, npt.NDArray[np.float32]]]:
    """What the version named `encoder` has seen in these photos, with their owners.

    Owner by owner, (width,) each, and at most `limit` photos.
    """
    fields = version_fields(AnnotatorVersion.of_name(encoder))
    rows = Annotation.objects.done().filter(photo__in=photos, **fields)
    known = rows.exclude(features=None).select_related("photo")
    known = known.only("features", "photo__owner")
    with unhurried():
        for row in known.order_by("photo__owner", "photo")[:limit].iterator():
            features = _features(row)
            if features is not None:
                yield row.photo.owner_id, features


def _features(row: Annotation) -> npt.NDArray[np.float32] | None:
    if row.features is None:
        return None
    return np.frombuffer(row.features, FEATURES_TYPE).astype(np.float32)


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
