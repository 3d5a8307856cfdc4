"""Faces are found near and far, once each, and only where there are any."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from annotation.small.faces import Box, find_faces
from annotation.small.framing import cut, letterbox
from annotation.small.pixels import Image, decode, resized

PORTRAITS = sorted((Path(__file__).parents[2] / "demo" / "photos").rglob("*.webp"))
FACE_OF_PORTRAIT = 0.45  # the box's side, as a share of the photo's


def portrait(number: int) -> Image:
    pixels = decode(PORTRAITS[number].read_bytes())
    assert pixels is not None
    return pixels


def street(*people: Image, face: float, columns: tuple[float, ...] = (0.5,)) -> Image:
    """A photo of 448x336 in whose upper part heads are, each `face` of it high."""
    photo = np.full((448, 336, 3), 200, np.uint8)
    side = round(448 * face / FACE_OF_PORTRAIT)
    for person, column in zip(people, columns, strict=True):
        left = round(336 * column - side / 2)
        photo[12 : 12 + side, left : left + side] = resized(person, side, side)
    return photo


def test_every_portrait_shows_one_face_in_its_middle() -> None:
    for number in range(0, len(PORTRAITS), 4):
        (face,) = find_faces(portrait(number))
        assert 0.3 < face.side / 448 < 0.56
        assert face.x + face.side / 2 == pytest.approx(224, abs=50)
        assert face.y + face.side / 2 == pytest.approx(240, abs=60)


@pytest.mark.parametrize("size", [0.1, 0.13, 0.18, 0.24])
def test_the_face_of_somebody_further_away_is_found(size: float) -> None:
    found = [find_faces(street(portrait(n), face=size)) for n in range(0, 100, 10)]
    sides = [boxes[0].side / 448 for boxes in found if len(boxes) == 1]
    assert len(sides) >= 9
    assert sides == pytest.approx([size] * len(sides), rel=0.35)


def test_two_people_beside_each_other_are_two_faces() -> None:
    both = street(portrait(0), portrait(1), face=0.15, columns=(0.25, 0.75))
    assert len(find_faces(both)) == 2


def test_what_merely_resembles_a_face_is_looked_at_again() -> None:
    """Of these 26 faces upside down, coarse steps alone take 7 for upright ones."""
    upside_down = [np.ascontiguousarray(portrait(n)[::-1]) for n in range(0, 204, 8)]
    assert sum(bool(find_faces(photo)) for photo in upside_down) <= 3


@pytest.mark.parametrize("size", [(128, 96), (96, 96), (76, 76), (300, 300)])
def test_a_photo_is_made_smaller_as_by_averaging(size: tuple[int, int]) -> None:
    photo = portrait(3)
    exact = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(int)
    assert resized(photo, *size).shape == (size[1], size[0], 3)
    assert np.abs(resized(photo, *size) - exact).mean() < 1


def test_a_frame_beyond_the_photo_continues_its_edges() -> None:
    photo = np.zeros((100, 80, 3), np.uint8)
    photo[:, 0], photo[0], photo[-1] = 50, 100, 200
    view = cut(photo, Box(-40, -30, 160), side=160)
    assert view.shape == (160, 160, 3)
    assert (view[:30] == 100).all()
    assert (view[130:] == 200).all()
    assert (view[31:129, :40] == 50).all()
    assert (view[31:129, 41:] == 0).all()


def test_a_photo_of_odd_sides_fills_its_sheet() -> None:
    photo = np.full((447, 335, 3), 255, np.uint8)
    sheet = letterbox(photo, 128, 96)
    assert sheet.shape == (128, 96, 3)
    assert (sheet == 255).all()
