"""From photos to attributes: asking for readings, taking them, correcting, knowing."""

from __future__ import annotations

from annotation.services.correcting import certain, correct, withdraw_correction
from annotation.services.knowing import (
    EffectiveReading,
    effective_readings,
    features_width,
    reading_status,
)
from annotation.services.reading import MAX_ATTEMPTS, annotate, record, rounded
from annotation.services.requesting import (
    Requested,
    active_version,
    current_readings,
    follow_consent,
    forget,
    request,
    sweep,
)

__all__ = [
    "MAX_ATTEMPTS",
    "EffectiveReading",
    "Requested",
    "active_version",
    "annotate",
    "certain",
    "correct",
    "current_readings",
    "effective_readings",
    "features_width",
    "follow_consent",
    "forget",
    "reading_status",
    "record",
    "request",
    "rounded",
    "sweep",
    "withdraw_correction",
]
