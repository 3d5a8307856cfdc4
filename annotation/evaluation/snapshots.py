"""Aligned faces made into photos as people take them: nobody aligns a user's photo."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from annotation.evaluation.sources import pixels

SHEET: Final = (240, 320)  # width, height
MOST_DEGREES: Final = 15.0
FRAME: Final = (0.5, 0.95)  # of the width: how wide what was aligned becomes
QUALITY: Final = (60, 95)  # of the JPEG


def snapshot(data: bytes, number: int) -> bytes:
    """The photo on a larger sheet: turned, scaled, off the middle, and as a JPEG.

    The sheet goes on beyond the photo as its edges do. The same for a photo's `number`
    whenever it is asked for. Raises ValueError if it is not an image.
    """
    photo = pixels(data)
    rng = np.random.default_rng(number)
    size = np.array(photo.shape[1::-1], float)
    scale = rng.uniform(*FRAME) * SHEET[0] / size[0]
    angle = rng.uniform(-MOST_DEGREES, MOST_DEGREES)
    matrix = cv2.getRotationMatrix2D(tuple(size / 2), angle, scale)
    corner = rng.uniform(0, 1, 2) * (np.array(SHEET) - size * scale)
    matrix[:, 2] += corner + size * (scale - 1) / 2
    sheet = cv2.warpAffine(
        cv2.cvtColor(photo, cv2.COLOR_RGB2BGR),
        matrix,
        SHEET,
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    quality = int(rng.integers(*QUALITY))
    return cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
