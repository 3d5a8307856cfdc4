"""Where the faces of a photo are: OpenCV's cascade, from close-ups to whole bodies.

A cascade's time goes into the windows that it tries. So every size of face is searched
for in a photo so small that the face fills the cascade's window, in coarse steps; what
may be a smaller face is looked at again, in fine steps. Pure: numpy and OpenCV.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from annotation.small.pixels import Image, resized

# The cascade's box on 18,023 CelebA frames, as medians: 0.565 of the frame's side
# wide, centred at (0.5, 0.583) of it.
BOX_OF_FRAME: Final = 0.565
CENTRE_HEIGHT: Final = 0.583
WINDOW: Final = 20  # pixels: the cascade's own, and the smallest face


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

    def covers(self, other: Box) -> bool:
        """Whether the other's centre lies in this box."""
        right, down = other.x - self.x, other.y - self.y
        return all(0 < d + other.side / 2 < self.side for d in (right, down))


@dataclass(frozen=True)
class Search:
    """How a photo is searched: pixels of its long side and of the largest face.

    `step` leads from one size of face to the next; `agreeing` is how many more finds a
    face needs at its place. `down` and `aside` are the share of the height searched,
    from above, and of the width left out, on either side.
    """

    long_side: int
    largest: int
    step: float
    agreeing: int
    down: float = 1.0
    aside: float = 0.0


# Close-ups, whose faces are at least 26 % of the long side, are cheap and come first.
CLOSE_UPS: Final = Search(76, largest=76, step=1.1, agreeing=1)
# Half bodies from 14 %, whole ones from 8 %: where a standing person's head can be.
FURTHER: Final = (
    Search(140, largest=40, step=1.3, agreeing=0, down=0.7),
    Search(256, largest=36, step=1.3, agreeing=0, down=0.45, aside=0.15),
)
# The second look at what may be a face: so wide it is made, with so much around it.
AGAIN: Final = Search(0, largest=39, step=1.05, agreeing=3)
AGAIN_SIDE: Final = 26
AROUND: Final = 0.4


def find_faces(photo: Image) -> list[Box]:
    """Upright faces, largest first. Profiles and faces under 8 % are often missed."""
    grey = np.asarray(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), np.uint8)
    faces = _apart(_search(grey, CLOSE_UPS))
    for search in FURTHER:
        if faces:
            break
        candidates = _apart(_search(grey, search))
        faces = _apart(face for box in candidates for face in _again(grey, box))
    return faces


def _search(grey: Image, search: Search) -> list[Box]:
    height, width = grey.shape
    left = round(width * search.aside)
    part = grey[: round(height * search.down), left : width - left]
    found = _found(part, search.long_side / max(height, width), search)
    return [Box(left + box.x, box.y, box.side) for box in found]


def _again(grey: Image, box: Box) -> list[Box]:
    """The same place alone, in fine steps: a face is found by several of them."""
    margin = AROUND * box.side
    left, top = max(0, round(box.x - margin)), max(0, round(box.y - margin))
    right, bottom = (round(start + box.side + margin) for start in (box.x, box.y))
    found = _found(grey[top:bottom, left:right], AGAIN_SIDE / box.side, AGAIN)
    return [Box(left + face.x, top + face.y, face.side) for face in found]


def _found(part: Image, scale: float, search: Search) -> list[Box]:
    """The cascade's finds in this part of a photo, in its pixels."""
    height, width = (max(1, round(side * scale)) for side in part.shape)
    found = _cascade().detectMultiScale(
        resized(part, width, height),
        search.step,
        search.agreeing,
        minSize=(WINDOW, WINDOW),
        maxSize=(search.largest, search.largest),
    )
    return [Box(*(float(n) / scale for n in (x, y, side))) for x, y, side, _ in found]


def _apart(boxes: Iterable[Box]) -> list[Box]:
    """The boxes, largest first, without those that lie on a larger one."""
    kept: list[Box] = []
    for box in sorted(boxes, key=lambda box: -box.side):
        if not any(larger.covers(box) for larger in kept):
            kept.append(box)
    return kept


_local = threading.local()


def _cascade() -> Any:
    """This thread's cascade: `detectMultiScale` keeps state, so none is shared."""
    if not hasattr(_local, "cascade"):
        folder = Path(cv2.__file__).parent / "data"
        _local.cascade = cv2.CascadeClassifier(
            str(folder / "haarcascade_frontalface_alt2.xml")
        )
    return _local.cascade
