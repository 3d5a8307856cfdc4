"""News from `annotation` for the apps above, sent inside its transaction."""

from __future__ import annotations

from django.dispatch import Signal

annotation_requested = Signal()  # annotation_ids: rows wait for a worker
photo_annotated = Signal()  # photo_id, profile_id: what is seen of the photo changed
