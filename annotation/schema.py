"""The 20 attributes a photo is read into, and what may never become one.

Pure: no framework, no model. A reading of a photo is an `Attributes` mapping: for every
attribute a probability for each of its values and for `not_visible`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

NOT_VISIBLE = "not_visible"
# Rounding to four decimals in transit must not turn a valid reading into an error.
TOLERANCE = 1e-3

Distribution = Mapping[str, float]
Attributes = Mapping[str, Distribution]


class Kind(StrEnum):
    """How the values of an attribute relate to each other."""

    ONE = "one"  # exclusive: the values and `not_visible` sum to 1
    MANY = "many"  # independent: each value is at most 1 - `not_visible`


class Group(StrEnum):
    """The three questions a photo answers; importance sliders act on them."""

    APPEARANCE = "appearance"
    STYLE = "style"
    CONTEXT = "context"


class Gate(StrEnum):
    """What a photo must pass before others see it; never searched by."""

    FACE_COUNT = "face_count"
    QUALITY = "quality"
    NUDITY = "nudity"
    ADULTS = "adults"


class Verdict(StrEnum):
    """The outcome of one gate. Only a person or a capable model may turn `unknown`."""

    PASS = "pass"  # noqa: S105 (no password)
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Attribute:
    """One attribute: its values in a fixed order, which is meaningful if `ordered`."""

    name: str
    group: Group
    kind: Kind
    values: tuple[str, ...]
    ordered: bool = False


def _one(group: Group, name: str, values: str, *, ordered: bool = False) -> Attribute:
    return Attribute(name, group, Kind.ONE, tuple(values.split()), ordered)


def _many(group: Group, name: str, values: str) -> Attribute:
    return Attribute(name, group, Kind.MANY, tuple(values.split()))


_A, _S, _C = Group.APPEARANCE, Group.STYLE, Group.CONTEXT

SCHEMA: tuple[Attribute, ...] = (
    _one(_A, "hair_color", "black dark_brown light_brown blonde red grey dyed bald"),
    _one(_A, "hair_length", "bald short medium long", ordered=True),
    _one(_A, "hair_texture", "straight wavy curly coily", ordered=True),
    _one(_A, "eye_color", "brown hazel green blue grey"),
    _one(_A, "facial_hair", "none stubble moustache goatee full_beard"),
    _one(_A, "body_type", "slim athletic average curvy plus_size"),
    _one(_A, "makeup", "none light heavy", ordered=True),
    _one(_A, "tattoos", "none some many", ordered=True),
    _one(_A, "eyewear", "none glasses sunglasses"),
    _one(_A, "headwear", "none cap hat beanie other"),
    _one(
        _S,
        "clothing_style",
        "casual sporty business elegant streetwear bohemian vintage alternative",
    ),
    _many(
        _S,
        "clothing_items",
        "t_shirt shirt blouse sweater hoodie jacket coat suit dress skirt trousers "
        "jeans shorts swimwear sportswear",
    ),
    _one(_S, "clothing_pattern", "solid striped floral plaid dotted graphic"),
    _many(_S, "accessories", "earrings necklace necktie scarf watch bag belt"),
    _one(_S, "expression", "serious neutral smile laugh", ordered=True),
    # A property of the scene, not of the person.
    _one(
        _S,
        "vibe",
        "warm playful confident calm romantic adventurous creative elegant_mood",
    ),
    _one(
        _C,
        "setting",
        "home street cafe office gym beach nature mountains event car studio",
    ),
    _many(
        _C,
        "activity",
        "posing selfie sport travel music cooking reading dancing gaming with_pet "
        "driving",
    ),
    _many(
        _C,
        "objects",
        "car motorcycle bicycle dog cat instrument book drink cigarette flowers camera "
        "sports_gear",
    ),
    _one(_C, "shot_type", "closeup half_body full_body mirror_selfie group"),
)

BY_NAME: Mapping[str, Attribute] = {attribute.name: attribute for attribute in SCHEMA}

# Never an attribute, nor a value of one, whoever asks for it (docs/privacy.md).
DENY_LIST: frozenset[str] = frozenset(
    "race ethnicity ethnic nationality skin_tone skin complexion religion religious "
    "hijab headscarf veil niqab burqa turban kippah yarmulke cross clerical_collar "
    "politics political health disability disabled pregnancy pregnant "
    "sexual_orientation orientation gay lesbian income wealth attractiveness "
    "attractive beauty beautiful ugly age age_group young old identity name gender "
    "sex".split()
)


def _schema_version() -> str:
    """Name the schema by its content, so that no edit can keep the old name."""
    text = repr([(a.name, a.kind, a.values, a.ordered) for a in SCHEMA])
    return "s-" + hashlib.sha256(text.encode()).hexdigest()[:8]


SCHEMA_VERSION = _schema_version()


def value_names() -> Iterator[tuple[Attribute, str]]:
    """Every (attribute, value) of the schema, in the order vectors are laid out."""
    for attribute in SCHEMA:
        for value in attribute.values:
            yield attribute, value


def visible(distribution: Distribution) -> float:
    """Probability in [0, 1] that the attribute can be seen at all."""
    return 1.0 - distribution[NOT_VISIBLE]


def unseen(attribute: Attribute) -> dict[str, float]:
    """The distribution of an attribute that the photo says nothing about."""
    return {NOT_VISIBLE: 1.0} | dict.fromkeys(attribute.values, 0.0)


def unseen_attributes() -> dict[str, dict[str, float]]:
    """A reading in which nothing is visible: where every annotator starts from."""
    return {attribute.name: unseen(attribute) for attribute in SCHEMA}


def problems(attributes: Attributes) -> list[str]:
    """What is wrong with a reading, in words; empty if it obeys the schema."""
    found = [f"unknown attribute {name}" for name in attributes if name not in BY_NAME]
    for attribute in SCHEMA:
        if attribute.name not in attributes:
            found.append(f"{attribute.name} is missing")
        else:
            found += distribution_problems(attribute, attributes[attribute.name])
    return found


def distribution_problems(
    attribute: Attribute, distribution: Distribution
) -> list[str]:
    """What is wrong with one attribute's probabilities; empty if nothing is."""
    expected, probabilities = {NOT_VISIBLE, *attribute.values}, distribution.values()
    if distribution.keys() != expected:
        odd = sorted(distribution.keys() ^ expected)
        return [f"{attribute.name}: values missing or unknown: {', '.join(odd)}"]
    # Every photo comes by here: of anything not finite the sum is not finite either.
    total = sum(probabilities)
    if not math.isfinite(total) or min(probabilities) < 0 or max(probabilities) > 1:
        return [f"{attribute.name}: a probability lies outside [0, 1]"]
    if attribute.kind is Kind.ONE:
        if abs(total - 1) > TOLERANCE:
            return [f"{attribute.name}: probabilities sum to {total:.4f}, not 1"]
        return []
    seen = visible(distribution)
    if any(distribution[v] > seen + TOLERANCE for v in attribute.values):
        return [f"{attribute.name}: a value is likelier than being visible"]
    return []
