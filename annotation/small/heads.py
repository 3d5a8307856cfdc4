"""What the embedded network answers, and how its answers become a reading.

The network learns the labels that its data sets give (`HEADS`); `SPREAD` says which
values of the schema each label can mean and with what share. Both are printed in
docs/model-card.md. Pure: numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from annotation import schema
from annotation.schema import BY_NAME, NOT_VISIBLE, Kind

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """One question to one view: a softmax if `exclusive`, else a sigmoid per class."""

    name: str
    classes: tuple[str, ...]
    exclusive: bool = True


def _head(name: str, classes: str, *, exclusive: bool = True) -> Head:
    return Head(name, tuple(classes.split()), exclusive)


FACE_HEADS: Final = (
    # Is this crop a face at all, and is it large enough to show its details?
    _head("presence", "face detail", exclusive=False),
    # `unnamed`: annotators chose no colour; `hidden`: none, under a hat.
    _head("hair_color", "black brown blonde grey bald grey_bald unnamed hidden"),
    _head("hair_texture", "straight wavy unnamed hidden"),
    _head("facial_hair", "none stubble moustache goatee moustache_goatee beard"),
    _head("eyewear", "none glasses sunglasses"),
    _head("headwear", "none worn"),
    _head("makeup", "none lipstick heavy"),
    _head("expression", "unsmiling smile open_smile"),
    _head("jewellery", "earrings necklace necktie", exclusive=False),
)
GARMENTS: Final = tuple(
    value
    for value in BY_NAME["clothing_items"].values
    if value not in {"swimwear", "sportswear"}  # no data set labels these two
)
PHOTO_HEADS: Final = (
    _head("dressed", "clothing", exclusive=False),
    Head("clothing_items", GARMENTS, exclusive=False),
    Head("clothing_pattern", BY_NAME["clothing_pattern"].values),
    Head("accessories", BY_NAME["accessories"].values, exclusive=False),
)
HEADS: Final = FACE_HEADS + PHOTO_HEADS


def slices(heads: tuple[Head, ...]) -> dict[str, slice]:
    """Where each head's logits lie when the heads are laid side by side."""
    places: dict[str, slice] = {}
    start = 0
    for head in heads:
        places[head.name] = slice(start, start + len(head.classes))
        start += len(head.classes)
    return places


def width(heads: tuple[Head, ...]) -> int:
    """Number of logits of the heads laid side by side."""
    return sum(len(head.classes) for head in heads)


SLICES: Final = slices(HEADS)
WIDTH: Final = width(HEADS)

# Called neither black, brown, blonde, grey nor bald: another colour, one between two,
# or too dark a photo to tell. By eye some fifty of sixty are brown, black, blonde or
# grey after all, which annotators did not say: so most is not told.
_UNNAMED_COLOUR: Final = {"red": 0.25, "dyed": 0.15, NOT_VISIBLE: 0.6}
# Called neither straight nor wavy: curly, or too short or tied up to tell.
_UNNAMED_TEXTURE: Final = {"curly": 0.36, "coily": 0.18, NOT_VISIBLE: 0.46}


def _under_a_hat(unnamed: Mapping[str, float], share: float) -> dict[str, float]:
    """What nothing named under a hat can mean: hidden, or seen and not named.

    `share` of it is the latter: by eye half of all hats show hair, but what is said of
    it is said of no colour that was named. So no more than a twentieth is called seen.
    """
    seen = {value: share * part for value, part in unnamed.items()}
    return seen | {NOT_VISIBLE: seen[NOT_VISIBLE] + 1 - share}


# label -> {value: share}. A share is a stated prior where the label does not decide; a
# value that annotators could have named and did not gets none. Brown is split into
# light and dark by how far the hair leans to blonde (`Answers.light_brown`).
SPREAD: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "hair_color": {
        "black": {"black": 1},
        "blonde": {"blonde": 1},
        "grey": {"grey": 1},
        "bald": {"bald": 1},
        "grey_bald": {"grey": 0.5, "bald": 0.5},
        "unnamed": _UNNAMED_COLOUR,
        "hidden": _under_a_hat(_UNNAMED_COLOUR, 0.12),
        "brown": {"brown": 1},
    },
    "hair_texture": {
        "straight": {"straight": 1},
        "wavy": {"wavy": 1},
        "unnamed": _UNNAMED_TEXTURE,
        "hidden": _under_a_hat(_UNNAMED_TEXTURE, 0.09),
    },
    "facial_hair": {
        "none": {"none": 1},
        "stubble": {"stubble": 1},
        "moustache": {"moustache": 1},
        "goatee": {"goatee": 1},
        "moustache_goatee": {"moustache": 0.5, "goatee": 0.5},
        "beard": {"full_beard": 0.7, "stubble": 0.3},
    },
    "eyewear": {name: {name: 1} for name in ("none", "glasses", "sunglasses")},
    "headwear": {
        "none": {"none": 1},
        "worn": {"cap": 0.3, "hat": 0.35, "beanie": 0.2, "other": 0.15},
    },
    "makeup": {
        "none": {"none": 1},
        "lipstick": {"none": 0.75, "light": 0.25},
        "heavy": {"light": 0.5, "heavy": 0.5},
    },
    "expression": {
        "unsmiling": {"serious": 0.5, "neutral": 0.5},
        "smile": {"smile": 1},
        "open_smile": {"smile": 0.6, "laugh": 0.4},
    },
    "clothing_pattern": {v: {v: 1} for v in BY_NAME["clothing_pattern"].values},
}
# What a face of a few pixels does not show, though its hair and hat still do.
DETAILS: Final = frozenset({"hair_texture", "facial_hair", "makeup", "expression"})


@dataclass(frozen=True)
class Answers:
    """Calibrated probabilities (n, WIDTH), and the share of brown that is light (n,).

    `room` (n,), as in `small.framing`: how much of the body the photo reaches.
    """

    probabilities: Floats
    light_brown: Floats
    room: Floats

    def of(self, head: str) -> Floats:
        """One head's columns, (n, classes)."""
        return self.probabilities[:, SLICES[head]]


def blonde_over_black(logits: Floats) -> Floats:
    """How far hair leans to blonde, (n,): raw log-odds of blonde against black."""
    head = next(h for h in HEADS if h.name == "hair_color")
    colours = logits[:, SLICES["hair_color"]]
    blonde, black = head.classes.index("blonde"), head.classes.index("black")
    return np.asarray(colours[:, blonde] - colours[:, black], np.float32)


def readings(answers: Answers) -> list[dict[str, dict[str, float]]]:
    """One reading per photo; every one obeys `annotation.schema`."""
    columns = dict(_attributes(answers))
    count = len(answers.probabilities)
    return [
        schema.unseen_attributes()
        | {name: _distribution(name, table, row) for name, table in columns.items()}
        for row in range(count)
    ]


def _attributes(answers: Answers) -> Iterator[tuple[str, dict[str, Floats]]]:
    """(attribute, value -> probabilities (n,)) of everything the data label."""
    face, detail = answers.of("presence").T
    for head in HEADS:
        if head.name in SPREAD and head in FACE_HEADS:
            seen = face * detail if head.name in DETAILS else face
            yield head.name, _spread(head, answers, seen)
    yield "hair_length", {"bald": face * _bald(answers)}
    # A network may see clothes where only a collar is; geometry knows better.
    dressed = answers.of("dressed")[:, 0] * (1 - face * (1 - answers.room))
    pattern = next(h for h in PHOTO_HEADS if h.name == "clothing_pattern")
    yield "clothing_pattern", _spread(pattern, answers, dressed)
    garments = answers.of("clothing_items") * dressed[:, None]
    yield "clothing_items", _with_hidden(GARMENTS, garments, dressed)
    yield "accessories", _accessories(answers, face * detail, dressed)


def _bald(answers: Answers) -> Floats:
    head = next(h for h in FACE_HEADS if h.name == "hair_color")
    said = [head.classes.index(name) for name in ("bald", "grey_bald")]
    return np.asarray(answers.of("hair_color")[:, said].sum(1), np.float32)


def _spread(head: Head, answers: Answers, seen: Floats) -> dict[str, Floats]:
    """Values of an exclusive attribute: each class handed to what it can mean."""
    table = {v: np.zeros_like(seen) for v in BY_NAME[head.name].values}
    for index, label in enumerate(head.classes):
        mass = answers.of(head.name)[:, index] * seen
        for value, share in SPREAD[head.name][label].items():
            if value == "brown":
                table["light_brown"] += mass * share * answers.light_brown
                table["dark_brown"] += mass * share * (1 - answers.light_brown)
            elif value != NOT_VISIBLE:
                table[value] += mass * share
    return table


def _accessories(answers: Answers, face: Floats, dressed: Floats) -> dict[str, Floats]:
    """Each accessory as seen by the view that shows it best; ties by the surer one."""
    table = answers.of("accessories") * dressed[:, None]
    near = answers.of("jewellery") * face[:, None]
    names = BY_NAME["accessories"].values
    for index, name in enumerate(("earrings", "necklace", "necktie")):
        column = names.index(name)
        table[:, column] = np.maximum(table[:, column], near[:, index])
    return _with_hidden(names, table, np.maximum(face, dressed))


def _with_hidden(
    names: tuple[str, ...], table: Floats, seen: Floats
) -> dict[str, Floats]:
    return dict(zip(names, table.T, strict=True)) | {NOT_VISIBLE: 1 - seen}


def _distribution(name: str, table: dict[str, Floats], row: int) -> dict[str, float]:
    """One photo's distribution; in an exclusive one the rest is `not_visible`."""
    attribute = BY_NAME[name]
    found = dict.fromkeys(attribute.values, 0.0)
    found |= {value: float(column[row]) for value, column in table.items()}
    if attribute.kind is Kind.ONE:
        found[NOT_VISIBLE] = max(0.0, 1.0 - sum(found[v] for v in attribute.values))
    return found
