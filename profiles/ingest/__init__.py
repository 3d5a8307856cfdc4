"""Turns an uploaded file into two clean renditions, or says why not. No framework here.

1. Bytes: how many, what kind of file, where the image ends and what follows it.
2. Header: pixels, sides, frames. Nothing is decoded before these are known.
3. Pixels: decoded, shrunk, laid on white, converted to sRGB, turned upright.
4. Encoded anew, so that nothing of the upload lives on but what one sees.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import pi_heif
from PIL import Image, ImageFile

from profiles.ingest import containers, pixels
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

_DECODERS: Final = {
    "jpeg": "JPEG",
    "png": "PNG",
    "webp": "WEBP",
    "avif": "AVIF",
    "heic": "HEIF",
}

# Process-wide, and meant to be: nothing of ours may decode what is refused here.
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


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
    display = _display(data, kind, limits)
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


def _display(data: bytes, kind: str, limits: Limits) -> Image.Image:
    with (
        _blaming_the_file(limits),
        Image.open(BytesIO(data), formats=[_DECODERS[kind]]) as image,
    ):
        _check_header(image, limits)
        return pixels.rendition(image, side_pixels=DISPLAY_SIDE_PIXELS)


@contextmanager
def _blaming_the_file(limits: Limits) -> Iterator[None]:
    """Decoders fail on hostile bytes in many ways; none of them is our own fault."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(limits) from None
    except pixels.DAMAGE:
        advice = "The photo cannot be read. Export it anew."
        raise IngestError("damaged-image", advice) from None


def _too_many_pixels(limits: Limits) -> IngestError:
    most = limits.max_pixels / 1_000_000
    return IngestError(
        "image-too-large", f"The photo is too large. Send at most {most:g} megapixels."
    )


def _check_header(image: Image.Image, limits: Limits) -> None:
    short, long = sorted(image.size)
    if short * long > limits.max_pixels:
        raise _too_many_pixels(limits)
    if short < limits.min_side_pixels:
        least = limits.min_side_pixels
        advice = f"The photo is too small. Each side needs {least} pixels or more."
        raise IngestError("image-too-small", advice)
    if long > limits.max_aspect * short:
        advice = "The photo is a narrow strip. Crop it and send it again."
        raise IngestError("image-too-narrow", advice)
    if getattr(image, "n_frames", 1) > limits.max_frames:
        advice = f"The animation is too long. Send at most {limits.max_frames} frames."
        raise IngestError("too-many-frames", advice)
