"""Calibrations: made from labels or without any, kept for ever, activated, undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from annotation.backends import annotator_version, get_annotator
from annotation.backends.base import AnnotatorVersion, Reading
from annotation.calibration import content_free
from annotation.calibration.calibrator import AS_KEPT, Calibrator
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
from annotation.services.readers import raw, reader_of, version_of
from annotation.services.requesting import version_fields
from twinby.errors import ConflictError, NotFoundError


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


def calibrate(backend: str | None, examples: Sequence[Example]) -> Calibrated:
    """Fit to labels, measure on photos held out, and keep what was fitted on all."""
    folds = fit_folds(examples)
    return _kept(backend, fit(examples), examples, folds, method="labels")


def calibrate_content_free(
    backend: str | None, examples: Sequence[Example]
) -> Calibrated:
    """Correct what the model prefers where there is nothing; labels only measure it."""
    outcomes = get_annotator(backend).read(content_free.neutral_images())
    neutral = [raw(o) for o in outcomes if isinstance(o, Reading)]
    calibrator = content_free.fit(neutral)
    if not calibrator.scalings:
        raise ConflictError(
            "On pictures without content this annotator says that nothing can be "
            "seen, or gives no probabilities: there is no preference to correct."
        )
    folds = [calibrator] * FOLDS
    return _kept(backend, calibrator, examples, folds, method="content_free")


def _kept(
    backend: str | None,
    calibrator: Calibrator,
    examples: Sequence[Example],
    folds: Sequence[Calibrator],
    *,
    method: str,
) -> Calibrated:
    version = annotator_version(backend)
    before = measured(examples, held_out(examples, _folds_in_use(version)))
    figures = report(before, measured(examples, held_out(examples, folds)))
    row, _ = Calibration.objects.get_or_create(
        **version_fields(version),
        version=calibrator.version,
        defaults={
            "method": method,
            "content": calibrator.as_json(),
            "metrics": {
                **figures,
                # To measure this one later by photos that it has not learned from.
                "folds": [fold.as_json() for fold in folds],
            },
        },
    )
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
