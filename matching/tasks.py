"""The matching queue: an id in, one service called."""

from __future__ import annotations

import uuid

import dramatiq

from matching import services


@dramatiq.actor(
    queue_name="matching", max_retries=10, min_backoff=500, max_backoff=60_000
)
def index_person(profile_id: str) -> None:
    """Bring a person's place in the index up to date; running twice does no harm."""
    services.index_person(uuid.UUID(profile_id))
