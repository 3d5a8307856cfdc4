"""From a photo to the two views that the embedded network looks at.

The face view is framed like CelebA's aligned faces (112x112, eyes at a fixed height);
the photo view is the whole photo, letterboxed. Pure: numpy and OpenCV, no framework.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

FACE_SIDE: Final = 96
PHOTO_HEIGHT: Final = 128
PHOTO_WIDTH: Final = 96
# (long side searched, smallest face) in pixels: close-ups first, since they are cheap.
SEARCHES: Final = ((96, 24), (288, 20))
# The cascade's box on 18,023 CelebA frames, as medians: 0.565 of the frame's side
# wide, centred at (0.5, 0.583) of it.
BOX_OF_FRAME: Final = 0.565
CENTRE_HEIGHT: Final = 0.583
GREY: Final = 114


@dataclass(frozen=True)
class Box:
    """A square in pixels of the photo; it may reach beyond the photo's edge."""

    x: float
    y: float
    side: float

    def frame(self) -> Box:
        """The square around a cascade's face box that CelebA would have cut."""
        side = self.side / BOX_OF_FRAME
        centre_x, centre_y = self.x + self.side / 2, self.y + self.side / 2
        return Box(centre_x - side / 2, centre_y - CENTRE_HEIGHT * side, side)


@dataclass(frozen=True)
class Look:
    """One photo as the network looks at it.

    `faces`: how many were found; `room`: how far the photo reaches below the face's
    frame, in frames, from 0 (a close-up) to 1 (at least down to the waist).
    """

    face: Image
    photo: Image
    faces: int
    room: float


def look(photo: Image) -> Look:
    """Find the face, cut it, letterbox the whole."""
    faces = find_faces(photo)
    frame = face_frame(photo, faces)
    below = (photo.shape[0] - frame.y - frame.side) / frame.side
    room = min(1.0, max(0.0, below)) if faces else 1.0
    return Look(cut(photo, frame), letterbox(photo), len(faces), room)


_local = threading.local()


def _cascade() -> Any:
    """This thread's cascade: `detectMultiScale` keeps state, so none is shared."""
    if not hasattr(_local, "cascade"):
        folder = Path(cv2.__file__).parent / "data"
        _local.cascade = cv2.CascadeClassifier(
            str(folder / "haarcascade_frontalface_alt2.xml")
        )
    return _local.cascade


def decode(data: bytes) -> Image | None:
    """RGB pixels (height, width, 3) of an encoded image; None if it is not one."""
    try:
        # Asked for as RGB: a reversed view of BGR is copied by every later call.
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels, np.uint8)


def find_faces(photo: Image) -> list[Box]:
    """Upright faces, largest first. Profiles and faces under 7 % are often missed."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    for long_side, smallest in SEARCHES:
        boxes = _search(grey, long_side, smallest)
        if boxes:
            return sorted(boxes, key=lambda box: -box.side)
    return []


def _search(grey: Image, long_side: int, smallest: int) -> list[Box]:
    scale = long_side / max(grey.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=method)
    found = _cascade().detectMultiScale(small, 1.1, 3, minSize=(smallest, smallest))
    return [Box(x / scale, y / scale, w / scale) for x, y, w, _ in found]


def face_frame(photo: Image, faces: list[Box]) -> Box:
    """The largest face's frame, else the square where a missed close-up would be.

    The network itself says whether the square holds a face.
    """
    if faces:
        return faces[0].frame()
    height, width = photo.shape[:2]
    side = min(height, width)
    return Box((width - side) / 2, 0, side)


def cut(photo: Image, frame: Box, side: int = FACE_SIDE) -> Image:
    """The frame's pixels as (side, side, 3); edges are continued beyond the photo."""
    height, width = photo.shape[:2]
    margin = max(0.0, -frame.x, -frame.y, frame.x + frame.side - width)
    margin = max(margin, frame.y + frame.side - height)
    pad = int(np.ceil(margin))
    if pad:
        padded = cv2.copyMakeBorder(photo, *(pad,) * 4, cv2.BORDER_REPLICATE)
        photo = np.asarray(padded, np.uint8)
    left, top = round(frame.x) + pad, round(frame.y) + pad
    size = max(1, round(frame.side))
    crop = photo[top : top + size, left : left + size]
    method = cv2.INTER_AREA if size > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (side, side), interpolation=method), np.uint8)


def letterbox(
    photo: Image, height: int = PHOTO_HEIGHT, width: int = PHOTO_WIDTH
) -> Image:
    """The whole photo in the middle of a grey (height, width, 3)."""
    scale = min(height / photo.shape[0], width / photo.shape[1])
    rows = max(1, round(photo.shape[0] * scale))
    columns = max(1, round(photo.shape[1] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    sheet = np.full((height, width, 3), GREY, np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    sheet[top : top + rows, left : left + columns] = cv2.resize(
        photo, (columns, rows), interpolation=method
    )
    return sheet
