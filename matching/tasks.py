"""The matching queue: an id in, one service called."""

from __future__ import annotations

import logging
import uuid

import dramatiq
from django.db import InterfaceError, OperationalError

from matching import impressions, services, tastes
from twinby.housekeeping import HOUR, MINUTE, housekeeping

logger = logging.getLogger(__name__)

SWEEP_LIMIT = 5_000
TASTES_LIMIT = 20_000


@dramatiq.actor(
    queue_name="matching", max_retries=10, min_backoff=500, max_backoff=60_000
)
def reindex(profile_ids: list[str]) -> None:
    """Bring people's places in the index up to date; running twice does no harm.

    Where that fails for several together, each is tried alone: one whom it fails for
    keeps nobody else out. A database that fails is nobody's fault: all are tried again.
    """
    try:
        services.reindex([uuid.UUID(pk) for pk in profile_ids])
    except (InterfaceError, OperationalError):
        raise
    except Exception as error:
        if len(profile_ids) == 1:
            raise
        logger.warning("People are indexed one by one: %s", type(error).__name__)
        for pk in profile_ids:
            reindex.send([pk])


@housekeeping("*/10 * * * *", max_age=20 * MINUTE)
def sweep_index() -> None:
    """Every ten minutes: a lost message leaves nobody unfound or findable for long."""
    services.sweep(limit=SWEEP_LIMIT)


@housekeeping("*/10 * * * *", max_age=20 * MINUTE)
def sweep_tastes() -> None:
    """Every ten minutes, and when another space takes over: tastes of no other."""
    tastes.sweep(limit=TASTES_LIMIT)


@housekeeping("7 * * * *", max_age=HOUR)
def count_impressions() -> None:
    """Every hour: rankings go by how often people were shown."""
    impressions.count()


@housekeeping("23 3 * * *", max_age=24 * HOUR, max_retries=3, min_backoff=MINUTE)
def arrange_impressions() -> None:
    """Every night: months of the log ahead, and none older than is kept."""
    impressions.arrange()


@housekeeping("30 * * * *", max_age=HOUR, time_limit=12 * HOUR)
def build_indexes() -> None:
    """Every hour: a space that has grown large is searched by lists from then on."""
    services.build_indexes()
