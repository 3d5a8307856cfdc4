"""Turns an uploaded file into two clean renditions, or says why not. No framework here.

1. Bytes: how many, what kind of file, where the image ends and what follows it.
2. Header: pixels, sides, frames. Nothing is decoded before these are known.
3. Pixels: decoded, shrunk, laid on white, converted to sRGB, turned upright.
4. Encoded anew, so that nothing of the upload lives on but what one sees.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from profiles.ingest import apart, containers, decoding, pixels
from profiles.ingest.refusal import IngestError, Limits

__all__ = [
    "ANNOTATION_SIDE_PIXELS",
    "ANNOTATION_TYPE",
    "DISPLAY_SIDE_PIXELS",
    "DISPLAY_TYPE",
    "IngestError",
    "Ingested",
    "Limits",
    "ingest",
]

DISPLAY_SIDE_PIXELS: Final = 1280
DISPLAY_TYPE: Final = "image/webp"
ANNOTATION_SIDE_PIXELS: Final = 448
ANNOTATION_TYPE: Final = "image/jpeg"
DEFAULT_LIMITS: Final = Limits()
_DECODED_APART: Final = {"avif", "heic"}


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What is kept of an upload; `width` and `height` are those of `display`."""

    sha256: str  # hexadecimal, of the bytes as uploaded
    dhash: str  # 64 characters of 0 and 1, row by row
    width: int
    height: int
    display: bytes  # WebP, sRGB, long side <= DISPLAY_SIDE_PIXELS
    annotation: bytes  # JPEG, sRGB, long side <= ANNOTATION_SIDE_PIXELS
    format: str  # of the upload: jpeg, png, webp, avif or heic


def ingest(data: bytes, *, limits: Limits = DEFAULT_LIMITS) -> Ingested:
    """The renditions and fingerprints of one upload; IngestError where it is refused.

    The same bytes give the same answer. Small photos are never enlarged.
    """
    containers.check_size(data, limits)
    kind = containers.kind_of(data)
    containers.check_one_whole_file(data, kind, limits)
    decode = apart.decode if kind in _DECODED_APART else decoding.decode
    display = decode(data, kind, limits=limits, side_pixels=DISPLAY_SIDE_PIXELS)
    annotation = display.copy()
    annotation.thumbnail((ANNOTATION_SIDE_PIXELS, ANNOTATION_SIDE_PIXELS))
    return Ingested(
        sha256=hashlib.sha256(data).hexdigest(),
        dhash=pixels.dhash(display),
        width=display.width,
        height=display.height,
        display=pixels.encoded(display, "WEBP", quality=82, method=4),
        annotation=pixels.encoded(annotation, "JPEG", quality=90),
        format=kind,
    )
