"""Whatever changes how a person is found puts them on the queue, once committed."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.dispatch import receiver

from annotation.signals import photo_annotated
from matching import tasks
from profiles.signals import photo_approved, photo_withdrawn, profile_changed


@receiver([photo_annotated, photo_approved, photo_withdrawn, profile_changed])
def enqueue(*, profile_id: uuid.UUID, **_: Any) -> None:
    transaction.on_commit(lambda: tasks.index_person.send(str(profile_id)), robust=True)
