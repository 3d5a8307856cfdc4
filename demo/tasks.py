"""Scheduled work of the demo page."""

from __future__ import annotations

from django.core.management import call_command

from demo import visitors
from twinby.housekeeping import HOUR, housekeeping


@housekeeping("29 * * * *", max_age=HOUR)
def expire_visitors() -> None:
    """Every hour: visitors go when their photos have gone, and so do old sessions."""
    visitors.expire_visitors()
    call_command("clearsessions")
