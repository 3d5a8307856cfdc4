"""The calibrators of match scores: kept for ever, one active or none."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from django.db import connection, transaction
from django.utils import timezone

from matching.calibration import Calibrator, Fitted, from_dict, to_dict, version
from matching.models import MatchCalibration
from twinby.errors import NotFoundError


@dataclass(frozen=True)
class Active:
    """What match scores are made by at present, and its version."""

    version: str
    calibrator: Calibrator


def active() -> Active | None:
    """The calibrator in use; None while match scores are the model's own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT version FROM matching_matchcalibration WHERE is_active")
        found = cursor.fetchone()
    return Active(found[0], _loaded(found[0])) if found else None


@lru_cache(maxsize=4)  # for ever: a version is made of its content
def _loaded(name: str) -> Calibrator:
    return from_dict(MatchCalibration.objects.get(version=name).content)


def keep(fitted: Fitted) -> MatchCalibration:
    """Keep what was fitted, without using it; the same content is the same row."""
    row, _ = MatchCalibration.objects.update_or_create(
        version=version(fitted.calibrator),
        defaults={
            "content": to_dict(fitted.calibrator),
            "metrics": {
                "log_loss": dict(fitted.losses),
                "outcomes": fitted.outcomes,
                "likes": fitted.likes,
            },
        },
    )
    return row


@transaction.atomic
def activate(name: str | None) -> None:
    """Make match scores by this version from now on; None: by the model's own.

    Raises NotFoundError if none of this version is kept.
    """
    every = MatchCalibration.objects.select_for_update().order_by("pk")
    kept = set(every.values_list("version", flat=True))
    if name is not None and name not in kept:
        raise NotFoundError(f"No calibration {name} is kept; see --list.")
    MatchCalibration.objects.filter(is_active=True).update(is_active=False)
    MatchCalibration.objects.filter(version=name).update(
        is_active=True, activated_at=timezone.now()
    )
