"""A tiny data folder, made up, in which what a photo shows is how bright it is.

CelebA's people smile where they are bright, street photos show a dress where they are
green, raters like bright faces; and each person has a pattern of their own.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from annotation.backends.base import AnnotationError, AnnotatorVersion, Reading, gates
from annotation.schema import NOT_VISIBLE, unseen_attributes

SIDE = 64
TOLD = "5_o_Clock_Shadow Mouth_Slightly_Open Wearing_Lipstick".split()
NAMED = (
    "Black_Hair Brown_Hair Blond_Hair Gray_Hair Bald Straight_Hair Wavy_Hair "
    "Eyeglasses Wearing_Hat No_Beard Goatee Mustache Heavy_Makeup Smiling "
    "Wearing_Earrings Wearing_Necklace Wearing_Necktie"
).split()
STANFORD = (
    "category gender necktie scarf pattern_solid pattern_stripe pattern_floral "
    "pattern_plaid pattern_spot pattern_graphics"
).split()
FACES, VALIDATION = 128, 88  # photos of CelebA, and how many are its validation split
STREETS, RATED, RATERS = 110, 80, 6
BRIGHT, DARK = 200, 60


def picture(pixels: npt.NDArray[Any], format: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, format)
    return out.getvalue()


def face(place: int) -> bytes:
    """The person of this place and the next: a pattern of their own, bright or dark."""
    rng = np.random.default_rng(place // 2)
    blocks = rng.integers(-30, 30, (4, 4, 1)).repeat(SIDE // 4, 0).repeat(SIDE // 4, 1)
    level = BRIGHT if smiles(place) else DARK
    return picture(np.broadcast_to(level + blocks, (SIDE, SIDE, 3)))


def smiles(place: int) -> bool:
    return place % 4 in (0, 1)


def street(place: int) -> bytes:
    """Green where it shows a dress, which is every other one; no two are the same."""
    pixels = np.full((2 * SIDE, SIDE, 3), DARK)
    pixels[..., 1] = BRIGHT if place % 2 else DARK
    pixels[0, 0] = place
    return picture(pixels)


def make(folder: Path) -> Path:
    """All files of the data folder."""
    folder.mkdir()
    _archive(folder / "celeba_112.zip", {f"{i}.png": face(i) for i in range(FACES)})
    with gzip.open(folder / "celeba_attributes.csv.gz", "wt") as out:
        _table(out, map(_celebrity, range(FACES)))
    photos = {f"{i}.png": street(i) for i in range(STREETS)}
    _archive(folder / "ccp_224.zip", photos)
    tags = ({"file": f"{i}.png", "tags": _tags(i)} for i in range(STREETS))
    (folder / "ccp_tags.jsonl").write_text("\n".join(map(json.dumps, tags)))
    _archive(folder / "stanford_clothing_224.zip", photos)
    with (folder / "stanford_clothing.csv").open("w") as out:
        _table(out, ({"file": f"{i}.png", **_answers(i)} for i in range(STREETS)))
    _london(folder)
    return folder


def _celebrity(place: int) -> dict[str, Any]:
    known = dict.fromkeys([*NAMED, *TOLD], 0) | {"Smiling": int(smiles(place))}
    return known | {
        "file": f"{place}.png",
        "identity": place // 2,
        "split": "val" if place < VALIDATION else "train",
        "Male": place // 4 % 2,
        "Young": place // 8 % 2,
    }


def _tags(place: int) -> list[str]:
    return ["dress", "bag"] if place % 2 else ["jeans", "t-shirt"]


def _answers(place: int) -> dict[str, str]:
    answers = dict.fromkeys(STANFORD, "1.0") | {"category": "7.0" if place % 2 else "3"}
    return answers | {"pattern_solid": "2.0"}


def _london(folder: Path) -> None:
    """Half of them women; everybody's ratings rise with the brightness."""
    names = [f"{number:03}" for number in range(RATED)]
    levels = np.linspace(DARK, BRIGHT, RATED)
    flat = {
        f"neutral_front/{name}.webp": picture(np.full((SIDE, SIDE, 3), level), "WEBP")
        for name, level in zip(names, levels, strict=True)
    }
    _archive(folder / "london_448.zip", flat)
    with (folder / "london_people.csv").open("w") as out:
        gender = ("female", "male")
        _table(out, ({"face": n, "gender": gender[int(n) % 2]} for n in names))
    with gzip.open(folder / "london_ratings.csv.gz", "wt") as out:
        ratings = {name: int(name) for name in names}
        prefers = ("women", "men", "either")
        _table(out, ({"prefers": prefers[r % 3], **ratings} for r in range(RATERS)))


def _archive(path: Path, files: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def _table(out: Any, rows: Iterable[Mapping[str, Any]]) -> None:
    first, *rest = rows
    writer = csv.DictWriter(out, list(first))
    writer.writeheader()
    writer.writerows([first, *rest])


class Brightness:
    """An annotator that sees how bright a photo is, and what pattern it has.

    `sign` -1 makes it see the contrary; it has no features if `blind`.
    """

    version = AnnotatorVersion("fake", "brightness")

    def __init__(self, *, sign: int = 1, blind: bool = False) -> None:
        self.sign, self.blind = sign, blind

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        return [self._read(photo) for photo in photos]

    def _read(self, photo: bytes) -> Reading:
        image = Image.open(io.BytesIO(photo)).resize((SIDE, SIDE))
        pixels = np.asarray(image, float)
        bright, green = pixels[..., 0].mean() / 255, pixels[..., 1].mean() / 255
        if self.sign < 0:
            bright, green = 1 - bright, 1 - green
        said = unseen_attributes()
        said["expression"] |= {"smile": bright, "serious": 1 - bright, NOT_VISIBLE: 0}
        said["clothing_items"] |= {"dress": green, NOT_VISIBLE: 0}
        blocks = pixels[4::16, 4::16].mean(axis=2).ravel()
        features = np.append(blocks - blocks.mean(), 100 * self.sign * bright)
        return Reading(
            attributes=said,
            gates=gates(),
            features=None if self.blind else features.astype(np.float32),
            seconds=0.0,
        )
