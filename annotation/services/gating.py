"""What gates do to photos: those that the active version has read, nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

import profiles.services as people
from annotation.models import Annotation
from annotation.schema import Gate, Verdict
from annotation.services.requesting import tell, version_fields
from profiles.models import Photo, Profile

CHUNK = 500


def is_active(row: Annotation) -> bool:
    """Whether a row is of the version by which people are searched and judged."""
    return all(getattr(row, name) == text for name, text in version_fields().items())


def act_on(rows: Sequence[Annotation]) -> None:
    """A failed gate quarantines; four passes publish; people have the last word.

    An anchor is published to nobody, whatever it passes. The photos are locked.
    """
    passed = []
    for row in rows:
        failed = sorted(
            g for g, verdict in row.gates.items() if verdict == Verdict.FAIL
        )
        if failed:
            people.quarantine(row.photo_id, reason=f"failed: {', '.join(failed)}")
        elif not row.photo.is_anchor and all(
            row.gates.get(gate) == Verdict.PASS for gate in Gate
        ):
            passed.append(row.photo_id)
    if passed:
        people.approve_by_gates(passed)


def catch_up() -> int:
    """Act on what the active version saw while it was only tried; returns on how many.

    A version that is tried beside the active one reads photos and judges none.
    """
    caught_up = 0
    while found := _catch_up_with_some():
        caught_up += found
    return caught_up


@transaction.atomic
def _catch_up_with_some() -> int:
    waiting = Annotation.objects.done().filter(
        gated=False, photo__owner__in=Profile.objects.annotatable(), **version_fields()
    )
    photos = dict(waiting.order_by("pk").values_list("pk", "photo_id")[:CHUNK])
    locked = Photo.objects.filter(pk__in=photos.values()).order_by("pk")
    list(locked.select_for_update(no_key=True).values_list("pk"))  # before readings
    rows = Annotation.objects.filter(pk__in=photos, gated=False).order_by("pk")
    found = list(rows.select_for_update(of=("self",)).select_related("photo"))
    act_on(found)
    Annotation.objects.filter(pk__in=[row.pk for row in found]).update(gated=True)
    for row in found:
        tell(row.photo_id, row.photo.owner_id)
    return len(found)
