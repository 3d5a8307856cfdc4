"""News from below becomes work for the queue, once the transaction has committed."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.dispatch import receiver

from annotation import services, tasks
from annotation.backends import backend, batch_size
from annotation.signals import annotation_requested
from profiles.signals import photo_added, profile_changed


@receiver(photo_added)
def ask_for_a_reading(*, photo_id: uuid.UUID, **_: Any) -> None:
    services.request([photo_id])


@receiver(annotation_requested)
def enqueue(*, annotation_ids: list[int], **_: Any) -> None:
    def send() -> None:
        size, actor = batch_size(), tasks.ANNOTATE[backend().queue]
        for start in range(0, len(annotation_ids), size):
            actor.send(annotation_ids[start : start + size])

    # Without a queue the rows stay pending, and the sweep sends them later.
    transaction.on_commit(send, robust=True)


@receiver(profile_changed)
def follow_consent(*, profile_id: uuid.UUID, **_: Any) -> None:
    transaction.on_commit(
        lambda: tasks.follow_consent.send(str(profile_id)), robust=True
    )
