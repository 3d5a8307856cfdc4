"""What `annotation` keeps about a person, for their export. Cascades erase it."""

from __future__ import annotations

import uuid
from typing import Any

from annotation.models import Annotation, Correction


def export_annotations(profile_id: uuid.UUID) -> dict[str, Any]:
    """Every reading and every correction of the person's photos."""
    readings = Annotation.objects.filter(photo__owner_id=profile_id).order_by("pk")
    corrections = Correction.objects.filter(photo__owner_id=profile_id).order_by("pk")
    return {
        "readings": list(
            readings.values(
                "photo_id",
                "backend",
                "model",
                "prompt_version",
                "schema_version",
                "source",
                "status",
                "failure",
                "attributes",
                "mass",
                "gates",
                "created_at",
            )
        ),
        "corrections": list(
            corrections.values(
                "photo_id",
                "attribute",
                "distribution",
                "reason",
                "created_at",
                "withdrawn_at",
            )
        ),
    }
