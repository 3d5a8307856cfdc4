"""From photos to attributes: asking for readings, taking them, correcting, knowing."""

from __future__ import annotations

from annotation.services.claiming import MAX_ATTEMPTS, BudgetSpentError, LeasedError
from annotation.services.correcting import certain, correct, withdraw_correction
from annotation.services.gating import catch_up
from annotation.services.knowing import (
    EffectiveReading,
    as_read,
    calibrated,
    effective_readings,
    features_width,
    is_calibrated,
    reading_status,
    stored_features,
)
from annotation.services.ledger import Costs, costs, recount
from annotation.services.readers import active_reader, encoder_name, version_name
from annotation.services.reading import annotate
from annotation.services.requesting import (
    Requested,
    active_version,
    ask_for_all,
    current_readings,
    follow_consent,
    forget,
    request,
    sweep,
)
from annotation.services.running import Result, Run
from annotation.services.settling import rounded
from annotation.services.unkept import read_unkept, training_facts

__all__ = [
    "MAX_ATTEMPTS",
    "BudgetSpentError",
    "Costs",
    "EffectiveReading",
    "LeasedError",
    "Requested",
    "Result",
    "Run",
    "active_reader",
    "active_version",
    "annotate",
    "as_read",
    "ask_for_all",
    "calibrated",
    "catch_up",
    "certain",
    "correct",
    "costs",
    "current_readings",
    "effective_readings",
    "encoder_name",
    "features_width",
    "follow_consent",
    "forget",
    "is_calibrated",
    "read_unkept",
    "reading_status",
    "recount",
    "request",
    "rounded",
    "stored_features",
    "sweep",
    "training_facts",
    "version_name",
    "withdraw_correction",
]
