"""What `matching` keeps about a person, for their export. Cascades erase it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import Q, QuerySet

from matching.models import (
    Exposure,
    Feedback,
    Impression,
    Match,
    PersonVector,
    Taste,
)

# What others said of the person is others' own; a report would tell who made it.
SAID = (
    "event_id target_id kind reason page_id matched created_at withdrawn_at "
    "forgotten_at"
)
SHOWN = (
    "page_id person_id source rank score preference match_score propensity space prior "
    "method calibration arm shown_at"
)


def export_matching(profile_id: uuid.UUID) -> dict[str, Any]:
    """In words and numbers; vectors and learned weights stay inside."""
    pair = Q(first_id=profile_id) | Q(second_id=profile_id)
    return {
        "vectors": export_vectors(profile_id),
        "feedback": _rows(Feedback.objects.filter(actor_id=profile_id), SAID),
        "matches": _rows(
            Match.objects.filter(pair), "id first_id second_id created_at ended_at"
        ),
        "impressions": _rows(Impression.objects.filter(viewer_id=profile_id), SHOWN),
        "exposure": _rows(
            Exposure.objects.filter(profile_id=profile_id),
            "day impressions expected_likes",
        ),
        "tastes": _rows(
            Taste.objects.filter(profile_id=profile_id),
            "space__version prior labels updated_at",
        ),
    }


def export_vectors(profile_id: uuid.UUID) -> list[dict[str, Any]]:
    """In words: what can be seen of the person. The vectors themselves stay inside."""
    rows = PersonVector.objects.filter(profile_id=profile_id)
    return _rows(rows, "space__version presence photos updated_at")


def _rows(found: QuerySet[Any], names: str) -> list[dict[str, Any]]:
    return list(found.order_by("pk").values(*names.split()))
