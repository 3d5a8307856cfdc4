"""From an encoded photo to the pixels of a bucket: nothing cut off, nothing bent.

Photos of one bucket have one shape, so that a batch of them needs no padding tokens.
Opened by the decoder that uploads go through, with its caps. No torch here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from profiles.ingest import IngestError, Limits, containers, decoding

# Renditions are checked when they are made: a strip's may be narrower than an upload.
LIMITS: Final = Limits(min_side_pixels=1, max_aspect=500)
KINDS: Final = frozenset({"jpeg", "png", "webp"})


class Bucket(NamedTuple):
    """One of the shapes that a model sees, in pixels."""

    height: int
    width: int


class Box(NamedTuple):
    """Where in the bucket's pixels the photo itself lies."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Framed:
    """One photo as a model sees it: `pixels` are uint8, (height, width, 3), RGB."""

    bucket: Bucket
    pixels: npt.NDArray[np.uint8]
    box: Box


def frame(
    data: bytes, *, buckets: Sequence[Bucket], padding: tuple[int, int, int]
) -> Framed | None:
    """The photo in the middle of the bucket that it fills best; None if it is none."""
    try:
        image = _decoded(data, max(max(bucket) for bucket in buckets))
    except IngestError:
        return None
    bucket = best_bucket(image.height, image.width, buckets)
    box = placed(image.height, image.width, bucket)
    sheet = Image.new("RGB", (bucket.width, bucket.height), padding)
    sheet.paste(_resized(image, box), (box.left, box.top))
    return Framed(bucket, np.asarray(sheet), box)


def best_bucket(height: int, width: int, buckets: Sequence[Bucket]) -> Bucket:
    """The bucket nearest in aspect ratio, which leaves the smallest share empty."""
    return min(
        buckets,
        key=lambda bucket: abs(
            math.log(height / width) - math.log(bucket.height / bucket.width)
        ),
    )


def placed(height: int, width: int, bucket: Bucket) -> Box:
    """Where a photo of these sides lies when it is as large as the bucket allows."""
    scale = min(bucket.height / height, bucket.width / width)
    rows = min(bucket.height, max(1, round(height * scale)))
    columns = min(bucket.width, max(1, round(width * scale)))
    top, left = (bucket.height - rows) // 2, (bucket.width - columns) // 2
    return Box(top, left, rows, columns)


def _decoded(data: bytes, side_pixels: int) -> Image.Image:
    """In RGB, upright, the long side at most `side_pixels`; raises IngestError."""
    kind = containers.kind_of(data)
    if kind not in KINDS:
        raise decoding.damaged()
    return decoding.decode(data, kind, limits=LIMITS, side_pixels=side_pixels)


def _resized(image: Image.Image, box: Box) -> Image.Image:
    size = (box.width, box.height)
    if image.size == size:
        return image
    return image.resize(size, Image.Resampling.BICUBIC)
