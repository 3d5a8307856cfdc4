"""Scheduled work on photos."""

from __future__ import annotations

import datetime as dt

import dramatiq
from dramatiq_crontab import cron

from profiles import services, storage

ORPHANS_AFTER = dt.timedelta(days=1)
HOURS = 3_600_000  # in milliseconds
# What has waited for longer than its `max_age` has a younger one behind it, so that an
# outage leaves no heap of them; a worker that is merely busy gets to it before.


@cron("17 * * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(
    queue_name="housekeeping", max_retries=0, time_limit=HOURS, max_age=HOURS
)
def expire_anchors() -> None:
    """Every hour: anchors are private and must not outlive their month."""
    services.expire_anchors()


@cron("41 4 * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(
    queue_name="housekeeping", max_retries=0, time_limit=6 * HOURS, max_age=24 * HOURS
)
def sweep_files() -> None:
    """Every night: a photo that is gone is gone, even if the storage was down then."""
    storage.sweep(older_than=ORPHANS_AFTER)
