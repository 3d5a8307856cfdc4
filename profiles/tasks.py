"""Scheduled work on photos."""

from __future__ import annotations

import datetime as dt

from profiles import services, storage
from twinby.housekeeping import HOUR, housekeeping

ORPHANS_AFTER = dt.timedelta(days=1)


@housekeeping("17 * * * *", max_age=HOUR)
def expire_anchors() -> None:
    """Every hour: anchors are private and must not outlive their month."""
    services.expire_anchors()


@housekeeping("41 4 * * *", max_age=24 * HOUR, time_limit=6 * HOUR)
def sweep_files() -> None:
    """Every night: a photo that is gone is gone, even if the storage was down then."""
    storage.sweep(older_than=ORPHANS_AFTER)
