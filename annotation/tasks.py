"""The annotation queue: ids in, services called, nothing else."""

from __future__ import annotations

import datetime as dt
import uuid

import dramatiq
from dramatiq_crontab import cron

from annotation import services
from profiles.models import Profile

SWEEP_AFTER = dt.timedelta(minutes=3)
SWEEP_LIMIT = 5_000


@dramatiq.actor(
    queue_name="annotation",
    max_retries=services.MAX_ATTEMPTS,
    min_backoff=1_000,
    max_backoff=60_000,
    time_limit=10 * 60_000,
)
def annotate(annotation_ids: list[int]) -> None:
    """Read a batch; a transient error comes back with back-off, and so does a crash."""
    services.annotate(annotation_ids)


@dramatiq.actor(queue_name="annotation", max_retries=5)
def follow_consent(profile_id: str) -> None:
    """Read the photos of whoever consents; forget those of whoever no longer does."""
    profile = Profile.objects.filter(pk=uuid.UUID(profile_id)).first()
    if profile is None:
        return
    if profile.consents:
        services.request(list(profile.photos.values_list("pk", flat=True)))
    else:
        services.forget(profile.pk)


@cron("*/5 * * * *")  # type: ignore[untyped-decorator]
@dramatiq.actor(queue_name="housekeeping", max_retries=0)
def sweep() -> None:
    """Every five minutes: a lost message costs minutes, never a photo."""
    services.sweep(older_than=SWEEP_AFTER, limit=SWEEP_LIMIT)
