"""A moderator's word on a photo: recorded beside the machine's, and above it."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from annotation.models import Correction
from annotation.schema import BY_NAME, NOT_VISIBLE, Attribute, Kind, unseen
from annotation.services.requesting import tell
from profiles.models import Photo
from twinby.errors import InvalidError


@transaction.atomic
def correct(
    photo: Photo,
    *,
    attribute: str,
    values: Sequence[str],
    reason: str,
    moderator: User | None,
) -> Correction:
    """Say what an attribute of a photo really is: its values, or ["not_visible"].

    No value at all means, of an attribute of many, that it is seen and has none of
    them. Raises InvalidError for what cannot be, or without a reason.
    """
    if attribute not in BY_NAME:
        raise InvalidError(f"There is no attribute {attribute!r}.")
    if not reason.strip():
        raise InvalidError("A correction needs a reason.")
    correction = Correction.objects.create(
        photo=photo,
        attribute=attribute,
        distribution=certain(BY_NAME[attribute], values),
        reason=reason.strip(),
        moderator=moderator,
    )
    tell(photo.pk, photo.owner_id)
    return correction


def certain(attribute: Attribute, values: Sequence[str]) -> dict[str, float]:
    """The distribution of somebody who knows; InvalidError if it cannot be."""
    if list(values) == [NOT_VISIBLE]:
        return unseen(attribute)
    unknown = sorted(set(values) - set(attribute.values))
    if unknown:
        raise InvalidError(f"{attribute.name} has no value {', '.join(unknown)}.")
    if attribute.kind is Kind.ONE and len(values) != 1:
        raise InvalidError(f"{attribute.name} takes one value.")
    return {NOT_VISIBLE: 0.0} | {v: float(v in values) for v in attribute.values}


@transaction.atomic
def withdraw_correction(correction: Correction) -> bool:
    """Take a correction back: what stood before it counts again. False if it was."""
    changed = Correction.objects.filter(
        pk=correction.pk, withdrawn_at__isnull=True
    ).update(withdrawn_at=timezone.now())
    if changed:
        tell(correction.photo_id, correction.photo.owner_id)
    return bool(changed)
