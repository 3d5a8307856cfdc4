"""The demo's photos, as many as one likes, and no two of the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from django.core.files.base import ContentFile

from demo import loading, london
from profiles import services as people
from profiles.models import Photo
from profiles.storage import annotation_bytes

PER_FACE: Final = len(loading.EXPRESSIONS)
JPEG_START, JPEG_COMMENT = b"\xff\xd8", b"\xff\xfe"


def taken_in(most: int) -> list[Photo]:
    """Photos of the demo's people, at most so many, on the way that uploads take."""
    client, _ = people.create_client("benchmark of annotation")
    loading.load(client, london.faces()[: -(-most // PER_FACE)])
    photos = Photo.objects.filter(owner__client=client).order_by("created_at")
    return list(photos[:most])


def multiplied(photos: Sequence[Photo], count: int) -> list[Photo]:
    """So many photos: these, and copies of them with bytes and rows of their own."""
    copies = [
        _copy(photos[number % len(photos)], number)
        for number in range(len(photos), count)
    ]
    return [*photos, *Photo.objects.bulk_create(copies, batch_size=500)]


def _copy(photo: Photo, number: int) -> Photo:
    data = commented(annotation_bytes(photo), str(number))
    copy = Photo(
        owner_id=photo.owner_id,
        purpose=photo.purpose,
        status=photo.status,
        approval_source=photo.approval_source,
        sha256=hashlib.sha256(data).hexdigest(),
        dhash=photo.dhash,
        width=photo.width,
        height=photo.height,
    )
    copy.annotation.save("annotation", ContentFile(data), save=False)
    return copy


def commented(jpeg: bytes, text: str) -> bytes:
    """The same picture in other bytes: with a comment (ITU T.81, B.2.4.5)."""
    comment = text.encode()
    length = (2 + len(comment)).to_bytes(2, "big")
    rest = jpeg.removeprefix(JPEG_START)
    return JPEG_START + JPEG_COMMENT + length + comment + rest
