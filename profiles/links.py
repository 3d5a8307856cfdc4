"""Links to photos: signed, short-lived, and good for one viewer only."""

from __future__ import annotations

import datetime as dt
import uuid

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

from profiles.models import Photo, Profile
from twinby.errors import NotFoundError

_signer = TimestampSigner(salt="profiles.links")


def photo_path(photo_id: uuid.UUID, *, viewer_id: uuid.UUID) -> str:
    """The path and ticket of a photo's display rendition; it soon expires."""
    ticket = _signer.sign_object([str(photo_id), str(viewer_id)])
    path = reverse("photo-image", args=[photo_id])
    return f"{path}?ticket={ticket}"


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
