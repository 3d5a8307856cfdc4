"""Whatever changes how a person is found puts them on the queue, once committed."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.dispatch import receiver

from annotation.signals import photo_annotated
from matching import cache, facets, tasks
from matching.signals import space_activated
from profiles.signals import photo_approved, photo_withdrawn, profile_changed

# People of one message: they are locked until all of them are written, and whoever
# changes one of them waits.
TOGETHER: Final = 10


@dataclass
class Indexing:
    """The wish that these people's places in the index be brought up to date."""

    people: set[uuid.UUID]

    def __post_init__(self) -> None:
        self.__qualname__ = type(self).__qualname__  # Django logs it of what fails

    def __call__(self) -> None:
        tasks.reindex.send(sorted(map(str, self.people)))


@receiver([photo_annotated, photo_approved, photo_withdrawn, profile_changed])
def enqueue(*, profile_id: uuid.UUID, **_: Any) -> None:
    """One message for a batch of photos, not one for each of them."""
    if (wish := _open_wish()) is None:
        transaction.on_commit(Indexing({profile_id}), robust=True)
    else:
        wish.people.add(profile_id)


def _open_wish() -> Indexing | None:
    """The last wish of this transaction, if others may still join it.

    What was wished within a savepoint is forgotten when that is rolled back, so whoever
    joins must be within it as well.
    """
    connection = transaction.get_connection()
    for savepoints, hook, _ in reversed(connection.run_on_commit):
        if isinstance(hook, Indexing):
            is_open = savepoints <= {*connection.savepoint_ids}
            return hook if is_open and len(hook.people) < TOGETHER else None
    return None


@receiver(profile_changed)
def forget_counts(*, profile_id: uuid.UUID, **_: Any) -> None:
    """Whom a person can find depends on what they declare."""
    owner = facets.kept_for(profile_id)
    transaction.on_commit(lambda: cache.forget(owner), robust=True)


@receiver(space_activated)
def relearn(**_: Any) -> None:
    """Everybody's taste is learned anew in the space that took over."""
    transaction.on_commit(tasks.sweep_tastes.send, robust=True)
