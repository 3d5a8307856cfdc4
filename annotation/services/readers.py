"""Who reads: an annotator's version with the calibration that it is read by.

A reader's name is the version's, and the calibration's after a mark if there is one:
"local:qwen@p-1a2b3c4d#c-5e6f7a8b". Whatever is compared has been read by one reader.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from django.db import connection

from annotation.backends import UnknownBackendError, annotator_version
from annotation.backends.base import (
    CALIBRATION_MARK,
    AnnotatorVersion,
    Reading,
    Source,
)
from annotation.calibration.calibrator import AS_KEPT, Calibrator, RawReading
from annotation.models import Annotation, Calibration
from annotation.schema import SCHEMA_VERSION
from annotation.services.requesting import active_version, version_fields
from twinby.errors import NotFoundError, UnavailableError

# Fixed, as every search asks it: Django takes longer to write than Postgres to answer.
ACTIVE: Final = """
SELECT version FROM annotation_calibration WHERE is_active AND backend = %(backend)s
AND model = %(model)s AND prompt_version = %(prompt_version)s
AND schema_version = %(schema_version)s
"""


def active_reader() -> str:
    """The reader whose readings count at present; loads no model."""
    return reader_of(active_version())


def encoder_name(backend: str | None) -> str:
    """The name of the version of this back end, whose features are comparable.

    The active one's without a name. Raises NotFoundError for a back end unheard of.
    """
    try:
        return annotator_version(backend).name
    except UnknownBackendError as error:
        raise NotFoundError(str(error)) from None


def reader_of(version: AnnotatorVersion) -> str:
    """A version's reader at present: by its active calibration, if it has one."""
    with connection.cursor() as cursor:
        cursor.execute(ACTIVE, version_fields(version))
        active = cursor.fetchone()
    return reader_name(version, active and active[0])


def reader_name(version: AnnotatorVersion, calibration: str | None) -> str:
    """The name of a version read by this calibration, or as it is."""
    mark = f"{CALIBRATION_MARK}{calibration}" if calibration else ""
    return version.name + mark


def version_name(reader: str) -> str:
    """The name of the version, whatever calibration it is read by."""
    return AnnotatorVersion.of_name(reader).name


def calibrator_of(reader: str) -> Calibrator:
    """How this reader reads, whether active or not. UnavailableError if it is gone."""
    _, mark, calibration = reader.partition(CALIBRATION_MARK)
    return _kept(reader, calibration, SCHEMA_VERSION) if mark else AS_KEPT


@lru_cache(maxsize=16)  # for ever: a version is made of its content
def _kept(reader: str, calibration: str, schema_version: str) -> Calibrator:
    version = version_fields(AnnotatorVersion.of_name(reader))
    row = Calibration.objects.filter(
        **version | {"schema_version": schema_version}, version=calibration
    ).first()
    if row is None:
        raise UnavailableError("A calibration is gone that readings are to be read by.")
    return Calibrator.of_json(row.content)


def version_of(row: Annotation | Calibration) -> AnnotatorVersion:
    """The annotator that a row is of."""
    return AnnotatorVersion(row.backend, row.model, row.prompt_version)


def raw(reading: Reading) -> RawReading:
    """What an annotator has just said."""
    one_hot = reading.source == Source.ONE_HOT
    return RawReading(reading.attributes, reading.mass, one_hot=one_hot)


def raw_reading(row: Annotation) -> RawReading:
    """What an annotator said, as its row keeps it."""
    return RawReading(row.attributes, row.mass, one_hot=row.source == Source.ONE_HOT)
