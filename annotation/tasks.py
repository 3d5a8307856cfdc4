"""The annotation queues: ids in, services called, nothing else."""

from __future__ import annotations

import datetime as dt
import uuid

import dramatiq
from dramatiq.errors import Retry

from annotation import services
from twinby.housekeeping import MINUTE, housekeeping

SWEEP_AFTER = dt.timedelta(minutes=10)
SWEEP_LIMIT = 5_000
# A dead worker's lease runs out within three of these.
LEASED_PAUSE_MS = 5_000


@dramatiq.actor(
    queue_name="annotation",
    max_retries=services.MAX_ATTEMPTS,
    min_backoff=1_000,
    max_backoff=60_000,
    time_limit=10 * MINUTE,
)
def annotate(annotation_ids: list[int]) -> None:
    """Read a batch; a transient error comes back with back-off, and so does a crash."""
    _annotate(annotation_ids)


# Its worker is one process with a GPU of its own; the first job loads the model.
@dramatiq.actor(
    queue_name="gpu",
    max_retries=services.MAX_ATTEMPTS,
    min_backoff=1_000,
    max_backoff=60_000,
    time_limit=30 * MINUTE,
)
def annotate_on_gpu(annotation_ids: list[int]) -> None:
    """The same as `annotate`, for back ends that need a GPU."""
    _annotate(annotation_ids)


ANNOTATE = {actor.queue_name: actor for actor in (annotate, annotate_on_gpu)}


def _annotate(annotation_ids: list[int]) -> None:
    try:
        services.annotate(annotation_ids)
    except services.LeasedError as error:
        raise Retry(error.reason, delay=LEASED_PAUSE_MS) from None


# On a queue of its own: a no to being read does not wait behind the reading.
@dramatiq.actor(queue_name="consent", max_retries=10, min_backoff=500)
def follow_consent(profile_id: str) -> None:
    """Act on a given or withdrawn consent; running twice does no harm."""
    services.follow_consent(uuid.UUID(profile_id))


@housekeeping("*/5 * * * *", max_age=15 * MINUTE)
def sweep() -> None:
    """Every five minutes: a lost message costs a quarter of an hour, never a photo."""
    services.sweep(older_than=SWEEP_AFTER, limit=SWEEP_LIMIT)
    services.catch_up()
