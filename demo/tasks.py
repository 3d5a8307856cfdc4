"""Scheduled work of the demo page."""

from __future__ import annotations

import dramatiq
from django.core.management import call_command
from dramatiq_crontab import cron

from demo import visitors

HOUR = 3_600_000  # in milliseconds


@cron("29 * * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(queue_name="housekeeping", max_retries=0, time_limit=HOUR, max_age=HOUR)
def expire_visitors() -> None:
    """Every hour: visitors go when their photos have gone, and so do old sessions."""
    visitors.expire_visitors()
    call_command("clearsessions")
