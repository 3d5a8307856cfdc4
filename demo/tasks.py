"""Scheduled work of the demo page."""

from __future__ import annotations

import dramatiq
from django.core.management import call_command
from dramatiq_crontab import cron

from demo import visitors


@cron("29 * * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(queue_name="housekeeping", max_retries=0)
def expire_visitors() -> None:
    """Every hour: visitors go when their photos have gone, and so do old sessions."""
    visitors.expire_visitors()
    call_command("clearsessions")
