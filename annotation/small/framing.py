"""From a photo to the two views that the embedded network looks at.

The face view is framed like CelebA's aligned faces (112x112, eyes at a fixed height);
the photo view is the whole photo, letterboxed. Pure: numpy and OpenCV, no framework.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from annotation.small.faces import Box, find_faces
from annotation.small.pixels import Image, resized

FACE_SIDE: Final = 112  # as CelebA comes
PHOTO_HEIGHT: Final = 128
PHOTO_WIDTH: Final = 96
GREY: Final = 114


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
    left, top, size = round(frame.x), round(frame.y), max(1, round(frame.side))
    right, bottom = left + size, top + size
    crop = photo[max(0, top) : bottom, max(0, left) : right]
    above, below = max(0, -top), max(0, bottom - height)
    before, behind = max(0, -left), max(0, right - width)
    if above or below or before or behind:
        edges = above, below, before, behind
        padded = cv2.copyMakeBorder(crop, *edges, cv2.BORDER_REPLICATE)
        crop = np.asarray(padded, np.uint8)
    return resized(crop, side, side)


def letterbox(
    photo: Image, height: int = PHOTO_HEIGHT, width: int = PHOTO_WIDTH
) -> Image:
    """The whole photo in the middle of a grey (height, width, 3)."""
    scale = min(height / photo.shape[0], width / photo.shape[1])
    rows = max(1, round(photo.shape[0] * scale))
    columns = max(1, round(photo.shape[1] * scale))
    sheet = np.full((height, width, 3), GREY, np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    sheet[top : top + rows, left : left + columns] = resized(photo, columns, rows)
    return sheet
