"""Work that the clock gives out: with time enough, never twice at once, in no heaps."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import dramatiq
from dramatiq_crontab import cron

from twinby.alone import alone

MINUTE: Final = 60_000  # in milliseconds
HOUR: Final = 60 * MINUTE

Job = Callable[[], None]


def housekeeping(
    schedule: str, *, max_age: int, time_limit: int = HOUR, **options: Any
) -> Callable[[Job], dramatiq.Actor[[], None]]:
    """Send the job by a crontab's `schedule`; it does nothing while it still runs.

    What has waited for longer than `max_age` has a younger one behind it and is
    dropped, so that an outage leaves no heap of them; let it be some intervals long, so
    that a worker that is merely busy gets to it before. Both in milliseconds.
    """

    def decorate(job: Job) -> dramatiq.Actor[[], None]:
        @wraps(job)
        def unless_it_runs() -> None:
            with alone(f"{job.__module__}.{job.__qualname__}") as is_alone:
                if is_alone:
                    job()

        bounds = {"max_age": max_age, "time_limit": time_limit, "max_retries": 0}
        actor = dramatiq.actor(queue_name="housekeeping", **bounds | options)
        sent: dramatiq.Actor[[], None] = cron(schedule)(actor(unless_it_runs))
        return sent

    return decorate
