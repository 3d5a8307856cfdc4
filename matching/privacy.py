"""What `matching` keeps about a person, for their export. Cascades erase it."""

from __future__ import annotations

import uuid
from typing import Any

from matching.models import PersonVector


def export_vectors(profile_id: uuid.UUID) -> list[dict[str, Any]]:
    """In words: what can be seen of the person. The vectors themselves stay inside."""
    rows = PersonVector.objects.filter(profile_id=profile_id).order_by("pk")
    names = ("space__version", "presence", "photos", "updated_at")
    return [dict(zip(names, row, strict=True)) for row in rows.values_list(*names)]
