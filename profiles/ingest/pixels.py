"""From an opened image to what one sees: small, opaque, sRGB, upright, first frame."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

DHASH_SIDE: Final = 8
# What decoders and parsers raise on hostile bytes.
DAMAGE: Final = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_BROKEN_PROFILE: Final = (ImageCms.PyCMSError, OSError, TypeError, ValueError)
_EXIF_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def rendition(image: Image.Image, *, side_pixels: int) -> Image.Image:
    """The first frame in RGB, its long side at most `side_pixels`, never enlarged."""
    profile: bytes | None = image.info.get("icc_profile")
    small = _continuous(image)
    # 1.5 lets a JPEG be decoded at half size where that leaves enough to sample from.
    small.thumbnail((side_pixels, side_pixels), Image.Resampling.LANCZOS, 1.5)
    seen = _srgb(_on_white(small), profile)
    upright = _UPRIGHT.get(_orientation(image))
    return seen if upright is None else seen.transpose(upright)


def _continuous(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be resampled: L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as 8: convert("L") would clip at 255 and leave white paper."""
    grey = np.asarray(image)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey = np.where(grey == clear, 0xFFFF, grey)
    return Image.fromarray((grey >> 8).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode != "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """By the embedded profile; plainly where there is none or it does not fit."""
    seen = _by_profile(image, profile) if profile else None
    return seen or image.convert("RGB")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
    except _BROKEN_PROFILE:
        return None


def _orientation(image: Image.Image) -> int:
    """EXIF 1 to 8; broken EXIF is no reason to refuse a photo that can be seen."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except DAMAGE:
        return 1


def encoded(image: Image.Image, container: str, **options: Any) -> bytes:
    """The file of `image`, with nothing in it but pixels."""
    clean = image.copy()
    clean.info = {}  # where Pillow keeps what it would write beside them
    target = BytesIO()
    clean.save(target, container, **options)
    return target.getvalue()


def dhash(image: Image.Image) -> str:
    """Difference hash: 1 where grey rises to the right on a grid of 9 x 8 samples."""
    size = (DHASH_SIDE + 1, DHASH_SIDE)
    grey = np.asarray(image.convert("L").resize(size, Image.Resampling.LANCZOS))
    rises = grey[:, 1:] > grey[:, :-1]
    return "".join("1" if bit else "0" for bit in rises.flat)
