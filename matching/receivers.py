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

RECENT: Final = 64  # wishes: a transaction of thousands looks no further back


@dataclass
class Indexing:
    """The wish that a person's place in the index be brought up to date."""

    profile_id: uuid.UUID

    def __post_init__(self) -> None:
        self.__qualname__ = type(self).__qualname__  # Django logs it of what fails

    def __call__(self) -> None:
        tasks.index_person.send(str(self.profile_id))


@receiver([photo_annotated, photo_approved, photo_withdrawn, profile_changed])
def enqueue(*, profile_id: uuid.UUID, **_: Any) -> None:
    """One message for a batch of photos of a person, not one for each of them."""
    wish = Indexing(profile_id)
    # What was wished within a savepoint is forgotten when that is rolled back.
    recent = transaction.get_connection().run_on_commit[-RECENT:]
    if wish not in [hook for _, hook, _ in recent]:
        transaction.on_commit(wish, robust=True)


@receiver(profile_changed)
def forget_counts(*, profile_id: uuid.UUID, **_: Any) -> None:
    """Whom a person can find depends on what they declare."""
    owner = facets.kept_for(profile_id)
    transaction.on_commit(lambda: cache.forget(owner), robust=True)


@receiver(space_activated)
def relearn(**_: Any) -> None:
    """Everybody's taste is learned anew in the space that took over."""
    transaction.on_commit(tasks.sweep_tastes.send, robust=True)
