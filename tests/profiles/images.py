"""Small synthetic pictures and the files that hold them.

The HEIC files in data/ hold the same `quadrants` (and `burst.heic` three plain frames:
red, green, blue). They were written once with pillow-heif 1.8.1, because pi_heif, the
decoder we use, cannot encode.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from profiles.ingest import Ingested

Colour = tuple[int, int, int]

RED: Colour = (220, 40, 40)
GREEN: Colour = (40, 180, 60)
BLUE: Colour = (50, 70, 210)
YELLOW: Colour = (230, 210, 60)
WHITE: Colour = (255, 255, 255)
QUADRANTS = [RED, GREEN, BLUE, YELLOW]

_CENTRES = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]


def heic(name: str) -> bytes:
    return (Path(__file__).parent / "data" / f"{name}.heic").read_bytes()


def quadrants(width: int = 160, height: int = 96) -> Image.Image:
    """Red and green above blue and yellow: tells every turn and mirroring apart."""
    image = Image.new("RGB", (width, height))
    for colour, (x, y) in zip(QUADRANTS, _CENTRES, strict=True):
        left, top = int((x - 0.25) * width), int((y - 0.25) * height)
        image.paste(colour, (left, top, left + width // 2, top + height // 2))
    return image


def waves(width: int = 400, height: int = 300, *, seed: int = 0) -> Image.Image:
    """A smooth random picture, as photos are and flat colours are not."""
    grid = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, container: str, **options: Any) -> bytes:
    target = BytesIO()
    image.save(target, container, **options)
    return target.getvalue()


def animated(container: str, colours: Sequence[Colour]) -> bytes:
    first, *rest = [Image.new("RGB", (96, 96), colour) for colour in colours]
    return encoded(first, container, save_all=True, append_images=rest)


def png(header: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG from its IHDR and further chunks: what Pillow cannot write."""
    parts = [(b"IHDR", header), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body))
        + kind
        + body
        + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )


def ihdr(width: int, height: int, *, bits: int, colour_type: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)


def display(ingested: Ingested) -> Image.Image:
    return Image.open(BytesIO(ingested.display))


def annotation(ingested: Ingested) -> Image.Image:
    return Image.open(BytesIO(ingested.annotation))


def shown(ingested: Ingested) -> list[Colour]:
    """The colours at the centres of the four quadrants of the display rendition."""
    image = display(ingested).convert("RGB")
    return [_pixel(image, x, y) for x, y in _CENTRES]


def _pixel(image: Image.Image, x: float, y: float) -> Colour:
    value = image.getpixel((int(x * image.width), int(y * image.height)))
    assert isinstance(value, tuple)
    red, green, blue = value
    return int(red), int(green), int(blue)


def close(seen: Sequence[Colour], expected: Sequence[Colour], within: int = 8) -> bool:
    """Whether every channel is as expected, up to what lossy coding does to it."""
    return bool(np.abs(np.subtract(seen, expected)).max() <= within)
