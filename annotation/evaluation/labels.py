"""What each data set's labels say about the network's heads.

A target row is int8, one number per class of a view's heads. Exclusive heads: 1 for
every class that the label can mean, all 0 where nothing is known. Others: 1, 0, or
UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from annotation.small.heads import (
    FACE_HEADS,
    GARMENTS,
    PHOTO_HEADS,
    Head,
    slices,
    width,
)

Targets = npt.NDArray[np.int8]
UNKNOWN: Final = -1

# Face pixels: the cascade's box is so wide where details show, and where they do not.
DETAIL_SHOWN: Final = 28
DETAIL_LOST: Final = 18

Labels = Mapping[str, bool]


class TargetRow:
    """One photo's targets for one view, nothing known at first."""

    def __init__(self, heads: tuple[Head, ...]) -> None:
        self._heads = {head.name: head for head in heads}
        self._slices = slices(heads)
        self.values: Targets = np.zeros(width(heads), np.int8)
        for head in heads:
            if not head.exclusive:
                self.values[self._slices[head.name]] = UNKNOWN

    def allow(self, head: str, *classes: str) -> None:
        """The label can mean any of these classes."""
        for name in classes:
            self.values[self._place(head, name)] = 1

    def say(self, head: str, **known: bool) -> None:
        """Yes or no for classes of a head whose classes are independent."""
        for name, value in known.items():
            self.values[self._place(head, name)] = int(value)

    def _place(self, head: str, name: str) -> int:
        start: int = self._slices[head].start
        return start + self._heads[head].classes.index(name)


def detail_target(face_pixels: float) -> int:
    """1 where a face of this width shows its details, 0 where not, UNKNOWN between."""
    if face_pixels >= DETAIL_SHOWN:
        return 1
    return 0 if face_pixels <= DETAIL_LOST else UNKNOWN


def no_face() -> Targets:
    """Targets of a crop that shows no face."""
    row = TargetRow(FACE_HEADS)
    row.say("presence", face=False)
    return row.values


def celeba_face(labels: Labels) -> Targets:
    """CelebA's binary labels as targets of the face view."""
    row = TargetRow(FACE_HEADS)
    row.say("presence", face=True, detail=True)
    row.allow("hair_color", *_hair_colors(labels))
    row.allow("hair_texture", *_hair_textures(labels))
    row.allow("facial_hair", *_facial_hair(labels))
    row.allow(
        "eyewear", *(("glasses", "sunglasses") if labels["Eyeglasses"] else ("none",))
    )
    row.allow("headwear", "worn" if labels["Wearing_Hat"] else "none")
    row.allow("makeup", _makeup(labels))
    row.allow("expression", _expression(labels))
    row.say(
        "jewellery",
        earrings=labels["Wearing_Earrings"],
        necklace=labels["Wearing_Necklace"],
        necktie=labels["Wearing_Necktie"],
    )
    return row.values


def _hair_colors(labels: Labels) -> list[str]:
    named = {
        "Black_Hair": "black",
        "Brown_Hair": "brown",
        "Blond_Hair": "blonde",
        "Gray_Hair": "grey",
        "Bald": "bald",
    }
    colors = [value for label, value in named.items() if labels[label]]
    if colors == ["grey", "bald"]:
        return ["grey_bald"]  # both are so: that is not one or the other
    return colors or ["hidden" if labels["Wearing_Hat"] else "unnamed"]


def _hair_textures(labels: Labels) -> list[str]:
    named = {"Straight_Hair": "straight", "Wavy_Hair": "wavy"}
    textures = [value for label, value in named.items() if labels[label]]
    hidden = labels["Bald"] or labels["Wearing_Hat"]
    return textures or ["hidden" if hidden else "unnamed"]


def _facial_hair(labels: Labels) -> list[str]:
    named = {"Mustache": "moustache", "Goatee": "goatee"}
    found = [value for label, value in named.items() if labels[label]]
    if len(found) == len(named):
        return ["moustache_goatee"]
    if found:
        return found
    if labels["No_Beard"]:
        return ["none"]
    return ["stubble"] if labels["5_o_Clock_Shadow"] else ["beard"]


def _makeup(labels: Labels) -> str:
    if labels["Heavy_Makeup"]:
        return "heavy"
    return "lipstick" if labels["Wearing_Lipstick"] else "none"


def _expression(labels: Labels) -> str:
    if not labels["Smiling"]:
        return "unsmiling"
    return "open_smile" if labels["Mouth_Slightly_Open"] else "smile"


def celeba_photo(labels: Labels) -> Targets:
    """A face close-up as a whole photo: no clothes to judge, but perhaps a tie."""
    row = TargetRow(PHOTO_HEADS)
    row.say("dressed", clothing=False)
    row.say(
        "accessories",
        earrings=labels["Wearing_Earrings"],
        necklace=labels["Wearing_Necklace"],
        necktie=labels["Wearing_Necktie"],
    )
    return row.values


def ccp_face(tags: Collection[str], face_pixels: float) -> Targets:
    """Clothing Co-Parsing tags as targets of the face view."""
    row = TargetRow(FACE_HEADS)
    row.say("presence", face=True)
    row.values[slices(FACE_HEADS)["presence"].start + 1] = detail_target(face_pixels)
    worn = {"glasses", "sunglasses"} & set(tags)
    row.allow("eyewear", *(worn or {"none"}))
    row.allow("headwear", "worn" if "hat" in tags else "none")
    return row.values


# garment or accessory -> tags that say it, tags that leave it open.
_CCP_ITEMS: Final[Mapping[str, tuple[str, str]]] = {
    "t_shirt": ("t-shirt", "top"),
    "shirt": ("shirt", "top"),
    "blouse": ("blouse", "top"),
    "sweater": ("sweater jumper cardigan", "sweatshirt"),
    "hoodie": ("hoodie", "sweatshirt"),
    "jacket": ("jacket blazer", "vest cape"),
    "coat": ("coat", "cape"),
    "suit": ("suit", "blazer"),
    "dress": ("dress", "romper bodysuit"),
    "skirt": ("skirt", "romper"),
    "trousers": ("pants", "leggings tights suit"),
    "jeans": ("jeans", "pants"),
    "shorts": ("shorts", "romper"),
}
_CCP_ACCESSORIES: Final[Mapping[str, tuple[str, str]]] = {
    "earrings": ("earrings", "accessories"),
    "necklace": ("necklace", "accessories"),
    "necktie": ("tie", ""),
    "scarf": ("scarf", ""),
    "watch": ("watch", "accessories bracelet"),
    "bag": ("bag purse", "wallet"),
    "belt": ("belt", ""),
}


def ccp_photo(tags: Collection[str]) -> Targets:
    """Clothing Co-Parsing tags as targets of the photo view."""
    row = TargetRow(PHOTO_HEADS)
    row.say("dressed", clothing=True)
    tables = (("clothing_items", _CCP_ITEMS), ("accessories", _CCP_ACCESSORIES))
    for head, table in tables:
        for name, (saying, leaving_open) in table.items():
            if set(saying.split()) & set(tags):
                row.say(head, **{name: True})
            elif not set(leaving_open.split()) & set(tags):
                row.say(head, **{name: False})
    return row.values


# The Stanford set names one garment per photo: category -> (worn, not worn). Whatever
# may be worn beneath or beside it stays unknown, as does whether a woman's shirt is a
# blouse: the wearer's gender, which the set tells too, decides nothing here.
_STANFORD_CATEGORIES: Final[Mapping[str, tuple[str, str]]] = {
    "1": ("shirt", "t_shirt sweater hoodie suit dress"),
    "2": ("sweater", "suit dress"),
    "3": ("t_shirt", "shirt blouse sweater hoodie suit dress coat"),
    "4": ("", "suit"),
    "5": ("suit", "t_shirt hoodie dress skirt shorts coat"),
    "6": ("", "t_shirt shirt sweater hoodie suit coat"),
    "7": ("dress", "t_shirt shirt sweater hoodie suit trousers jeans shorts"),
}
_STANFORD_PATTERNS: Final[Mapping[str, str]] = {
    "solid": "pattern_solid",
    "striped": "pattern_stripe",
    "floral": "pattern_floral",
    "plaid": "pattern_plaid",
    "dotted": "pattern_spot",
    "graphic": "pattern_graphics",
}


def stanford_photo(answers: Mapping[str, str]) -> Targets:
    """Stanford clothing answers (1 no, 2 yes, empty open) as photo-view targets."""
    row = TargetRow(PHOTO_HEADS)
    row.say("dressed", clothing=True)
    category = answers["category"].removesuffix(".0")
    worn, not_worn = _STANFORD_CATEGORIES.get(category, ("", ""))
    row.say("clothing_items", **dict.fromkeys(worn.split(), True))
    row.say("clothing_items", **dict.fromkeys(not_worn.split(), False))
    row.allow("clothing_pattern", *_stanford_patterns(answers))
    for name in ("necktie", "scarf"):
        if answers[name]:
            row.say("accessories", **{name: answers[name] == "2.0"})
    return row.values


def _stanford_patterns(answers: Mapping[str, str]) -> list[str]:
    """The patterns said, else those left open; none where all were denied."""
    said = [p for p, key in _STANFORD_PATTERNS.items() if answers[key] == "2.0"]
    left = [p for p, key in _STANFORD_PATTERNS.items() if not answers[key]]
    return said or left


assert set(_CCP_ITEMS) == set(GARMENTS)  # noqa: S101 - a table against a table
