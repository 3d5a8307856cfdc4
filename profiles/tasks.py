"""Scheduled work on photos."""

from __future__ import annotations

import dramatiq
from dramatiq_crontab import cron

from profiles import services


@cron("17 * * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(queue_name="housekeeping", max_retries=0)
def expire_anchors() -> None:
    """Every hour: anchors are private and must not outlive their month."""
    services.expire_anchors()
