"""The photo as a server gets it: a small JPEG without metadata, inside a data URL."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

LONG_SIDE: Final = 448  # pixels: servers need not shrink it, and see what `local` sees
QUALITY: Final = 90
# All that a JPEG without metadata leaves in Pillow's `info`.
BARE: Final = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "dpi"}
END_OF_IMAGE: Final = b"\xff\xd9"


class NotAnImageError(ValueError):
    """These bytes are not a photo that can be read."""


def data_url(photo: bytes) -> str:
    """A photo of any size as a data URL; NotAnImageError if it is none."""
    return f"data:image/jpeg;base64,{b64encode(_small_jpeg(photo)).decode()}"


def _small_jpeg(photo: bytes) -> bytes:
    """Our stored renditions are such JPEGs already, and go as they are."""
    try:
        with Image.open(BytesIO(photo)) as image:
            return photo if _is_ready(image, photo) else _encoded(image)
    except Exception:  # noqa: BLE001 - what broken files raise has no common class
        raise NotAnImageError from None


def _is_ready(image: Image.Image, photo: bytes) -> bool:
    return (
        image.format == "JPEG"
        and max(image.size) <= LONG_SIDE
        and image.info.keys() <= BARE
        and photo.endswith(END_OF_IMAGE)
    )


def _encoded(image: Image.Image) -> bytes:
    image.draft("RGB", (LONG_SIDE, LONG_SIDE))
    upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((LONG_SIDE, LONG_SIDE))
    upright.info = {}  # where Pillow keeps what it would write beside the pixels
    target = BytesIO()
    upright.save(target, "JPEG", quality=QUALITY)
    return target.getvalue()
