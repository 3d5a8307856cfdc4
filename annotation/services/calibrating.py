"""Calibrations: made from labels or without any, kept for ever, activated, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.backends import annotator_version
from annotation.backends.base import AnnotatorVersion, Reading
from annotation.calibration import content_free
from annotation.calibration.calibrator import AS_KEPT, Calibrator, RawReading
from annotation.calibration.fitting import (
    FOLDS,
    Example,
    fit,
    fit_folds,
    held_out,
    measured,
    report,
)
from annotation.models import Calibration
from annotation.services.asking import faults, read_now
from annotation.services.readers import raw, reader_of, version_of
from annotation.services.requesting import version_fields
from annotation.services.settling import Outcome, judgement
from twinby.errors import ConflictError, NotFoundError, UnavailableError


@dataclass(frozen=True)
class Calibrated:
    """A kept calibration, and what it is worth beside the one that is active.

    `figures` are of photos that neither has learned from: `labelled.report`.
    """

    row: Calibration
    compared_with: str
    figures: dict[str, Any]

    @property
    def refusal(self) -> str:
        """Why it should not be activated; "" if nothing speaks against it."""
        overall = self.figures["overall"]
        if overall is None:
            rival = active_calibration(version_of(self.row))
            if rival in (None, self.row):
                return ""
            return f"without labels nobody knows whether it is better than {rival}"
        before, after = overall["before"]["nll"], overall["after"]["nll"]
        if after <= before:
            return ""
        return (
            f"on photos held out its negative log-likelihood is {after}, that of "
            f"{self.compared_with} is {before}"
        )


def calibrate(backend: str, examples: Sequence[Example]) -> Calibrated:
    """Fit to labels, measure on photos held out, and keep what was fitted on all."""
    folds = fit_folds(examples)
    return _kept(backend, fit(examples), examples, folds, method="labels")


def calibrate_content_free(backend: str, examples: Sequence[Example]) -> Calibrated:
    """Correct what the model prefers where there is nothing; labels only measure it.

    Raises UnavailableError and ConflictError, which say what went wrong.
    """
    calibrator = content_free.fit(_neutral(backend))
    if not calibrator.scalings:
        raise ConflictError(
            "On pictures without content this annotator says that nothing can be "
            "seen, or gives no probabilities: there is no preference to correct."
        )
    folds = [calibrator] * FOLDS
    return _kept(backend, calibrator, examples, folds, method="content_free")


def _neutral(backend: str) -> list[RawReading]:
    """How every picture without content is read: of a few, the mean is another one."""
    outcomes = read_now(backend, content_free.neutral_images())
    # There is nobody in them: what they say of age takes nothing away.
    judged = [judgement(without_gates(outcome)) for outcome in outcomes]
    readings = [raw(outcome) for outcome in judged if isinstance(outcome, Reading)]
    if len(readings) < len(judged):
        raise UnavailableError(
            f"The annotator has read only {len(readings)} of {len(judged)} pictures "
            f"without content ({faults(judged)}): nothing was kept. Try again later."
        )
    return readings


def without_gates(outcome: Outcome) -> Outcome:
    return replace(outcome, gates={}) if isinstance(outcome, Reading) else outcome


def _kept(
    backend: str,
    calibrator: Calibrator,
    examples: Sequence[Example],
    folds: Sequence[Calibrator],
    *,
    method: str,
) -> Calibrated:
    version = annotator_version(backend)
    before = measured(examples, held_out(examples, _folds_in_use(version)))
    figures = report(before, measured(examples, held_out(examples, folds)))
    metrics = {
        **figures,
        # To measure this one later by photos that it has not learned from.
        "folds": [fold.as_json() for fold in folds],
    }
    row, created = Calibration.objects.get_or_create(
        **version_fields(version),
        version=calibrator.version,
        defaults={
            "method": method,
            "content": calibrator.as_json(),
            "metrics": metrics,
        },
    )
    if not created and figures["overall"]:  # an equal one, measured anew
        row.metrics = metrics
        row.save(update_fields=["metrics"])
    return Calibrated(row, reader_of(version), figures)


def _folds_in_use(version: AnnotatorVersion) -> list[Calibrator]:
    """What is active, as fitted without each fold."""
    active = active_calibration(version)
    if active is None:
        return [AS_KEPT] * FOLDS
    return [Calibrator.of_json(fold) for fold in active.metrics["folds"]]


# Activating ---------------------------------------------------------------------------


def active_calibration(version: AnnotatorVersion) -> Calibration | None:
    """What corrects this version's readings at present."""
    rows = Calibration.objects.filter(**version_fields(version), is_active=True)
    return rows.first()


def kept_calibrations(version: AnnotatorVersion) -> list[Calibration]:
    """All calibrations of this version, the latest first."""
    rows = Calibration.objects.filter(**version_fields(version))
    return list(rows.order_by("-created_at"))


@transaction.atomic
def activate_calibration(version: AnnotatorVersion, name: str | None) -> None:
    """Read by this calibration from now on, or by none; NotFoundError.

    Searches stay in their feature space, whose name says what it is read by.
    """
    own = Calibration.objects.filter(**version_fields(version))
    rows = {row.version: row for row in own.select_for_update()}
    if name is not None and name not in rows:
        raise NotFoundError(f"{version.name} has no calibration of that name.")
    own.exclude(version=name or "").update(is_active=False)
    own.filter(version=name, is_active=False).update(
        is_active=True, activated_at=timezone.now()
    )
