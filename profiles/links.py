"""Links to photos: signed, short-lived, and good for one viewer only."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import lru_cache
from typing import Final

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.urls import get_script_prefix, reverse

from profiles.models import Photo, Profile
from twinby.errors import NotFoundError

ANY_PHOTO: Final = uuid.UUID(int=0)
_signer = TimestampSigner(salt="profiles.links")


def photo_path(photo_id: uuid.UUID, *, viewer_id: uuid.UUID) -> str:
    """The path and ticket of a photo's display rendition; it soon expires."""
    ticket = _signer.sign_object([str(photo_id), str(viewer_id)])
    before, after = _around_the_id(get_script_prefix())
    return f"{before}{photo_id}{after}?ticket={ticket}"


@lru_cache
def _around_the_id(_: str) -> tuple[str, str]:
    """The path below this prefix; to find it anew costs more than to sign a ticket."""
    before, after = reverse("photo-image", args=[ANY_PHOTO]).split(str(ANY_PHOTO))
    return before, after


def photo_url(photo_id: uuid.UUID, *, viewer_id: uuid.UUID) -> str:
    """The same as an absolute URL, for clients elsewhere."""
    return settings.PUBLIC_URL.rstrip("/") + photo_path(photo_id, viewer_id=viewer_id)


def open_ticket(ticket: str, *, photo_id: uuid.UUID) -> uuid.UUID:
    """The viewer a ticket was made for; NotFoundError if it is false or too old."""
    lifetime = dt.timedelta(seconds=settings.PHOTO_LINK_SECONDS)
    try:
        signed_for, viewer_id = _signer.unsign_object(ticket, max_age=lifetime)
        viewer = uuid.UUID(viewer_id)
    except (BadSignature, ValueError, TypeError):
        raise NotFoundError("This link has expired; ask for a new one.") from None
    if signed_for != str(photo_id):
        raise NotFoundError("This link is of another photo.")
    return viewer


def may_see(photo: Photo, viewer_id: uuid.UUID) -> bool:
    """Whether a link made for this viewer still opens the photo.

    One's own opens; another's only while it is published and its owner may be shown to
    the viewer: a link never outlives a consent, a block or a change of mind. Browsers
    are told to store nothing, so that no cached copy outlives them either.
    """
    if photo.owner_id == viewer_id:
        return True
    viewer = Profile.objects.filter(pk=viewer_id).first()
    if viewer is None:
        return False
    shown = Profile.objects.visible_to(viewer)
    return Photo.objects.published().filter(pk=photo.pk, owner__in=shown).exists()
