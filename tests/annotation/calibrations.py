"""Calibrations for tests."""

from __future__ import annotations

import numpy as np

from annotation.backends.base import AnnotatorVersion
from annotation.calibration.calibrator import Calibrator
from annotation.calibration.scaling import Scaling
from annotation.models import Calibration
from annotation.schema import SCHEMA, SCHEMA_VERSION

VERSION = AnnotatorVersion("fake", "fake-1")


def keep(temperature: float) -> str:
    """Keep a calibration that changes every attribute; its version."""
    calibrator = Calibrator(
        {
            a.name: Scaling(
                np.full(len(a.values) + 1, 1 / temperature),
                np.linspace(-1, 1, len(a.values) + 1),
            )
            for a in SCHEMA
        }
    )
    Calibration.objects.create(
        backend=VERSION.backend,
        model=VERSION.model,
        schema_version=SCHEMA_VERSION,
        version=calibrator.version,
        method="labels",
        content=calibrator.as_json(),
    )
    return calibrator.version
