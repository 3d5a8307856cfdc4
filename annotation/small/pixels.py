"""Photos as pixels: decoded, and made smaller quickly. Pure: numpy and OpenCV."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

HALF: Final = 2


def decode(data: bytes) -> Image | None:
    """RGB pixels (height, width, 3) of an encoded image; None if it is not one."""
    try:
        # Asked for as RGB: a reversed view of BGR is copied by every later call.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def resized(image: Image, width: int, height: int) -> Image:
    """The image in (height, width) pixels, or so many of each of its channels.

    Averaging over areas is quick by halves only: what was halved is smooth enough to be
    interpolated for the rest, on average within a level of grey of the exact result.
    """
    halved = image
    while min(halved.shape[0] / height, halved.shape[1] / width) >= HALF:
        halved = _half(halved)
    shrinks = halved is image and height < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(halved, (width, height), interpolation=method))


def _half(image: Image) -> Image:
    height, width = image.shape[0] // HALF, image.shape[1] // HALF
    even = image[: height * HALF, : width * HALF]
    halved = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(halved, np.uint8)
