"""Opens an upload with the one decoder its bytes call for, caps before pixels."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Final

from PIL import Image, ImageFile

from profiles.ingest import pixels
from profiles.ingest.refusal import IngestError, Limits

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


def decode(data: bytes, kind: str, *, limits: Limits, side_pixels: int) -> Image.Image:
    """The rendition of `data`; IngestError where caps or the decoder refuse it."""
    with (
        _blaming_the_file(limits),
        Image.open(BytesIO(data), formats=[_DECODERS[kind]]) as image,
    ):
        _check_header(image, limits)
        return pixels.rendition(image, side_pixels=side_pixels)


@contextmanager
def _blaming_the_file(limits: Limits) -> Iterator[None]:
    """Decoders fail on hostile bytes in many ways; none of them is our own fault."""
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels(limits) from None
    except pixels.DAMAGE:
        raise damaged() from None


def damaged() -> IngestError:
    """The refusal of a file that no decoder can read to its end."""
    return IngestError("damaged-image", "The photo cannot be read. Export it anew.")


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
