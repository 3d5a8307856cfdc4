"""How alike two values of one attribute are: a table S per attribute.

Every table is symmetric with unit diagonal and entries in [0, 1], and is strictly
positive definite as written, so that S = L @ L.T exists. Nothing repairs a table:
clipping eigenvalues would break its diagonal. Pure: numpy and the schema only.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from annotation.schema import SCHEMA, Attribute

FloatArray = npt.NDArray[np.float64]

# Neighbours on an ordered scale are half alike; rho^|i-j| is positive definite for
# every rho below 1 (the covariance of an autoregressive process of order one).
NEIGHBOUR_SIMILARITY = 0.5

# Only the pairs of unordered attributes that are alike; every other pair is 0.
ALIKE: Mapping[str, Mapping[tuple[str, str], float]] = {
    "hair_color": {
        ("black", "dark_brown"): 0.6,
        ("black", "light_brown"): 0.2,
        ("black", "grey"): 0.1,
        ("dark_brown", "light_brown"): 0.6,
        ("dark_brown", "blonde"): 0.2,
        ("dark_brown", "red"): 0.2,
        ("light_brown", "blonde"): 0.6,
        ("light_brown", "red"): 0.3,
        ("light_brown", "grey"): 0.1,
        ("blonde", "red"): 0.3,
        ("blonde", "grey"): 0.3,
    },
    "eye_color": {
        ("brown", "hazel"): 0.5,
        ("hazel", "green"): 0.5,
        ("green", "blue"): 0.3,
        ("green", "grey"): 0.3,
        ("blue", "grey"): 0.5,
    },
    "facial_hair": {
        ("none", "stubble"): 0.3,
        ("stubble", "moustache"): 0.2,
        ("stubble", "goatee"): 0.4,
        ("stubble", "full_beard"): 0.5,
        ("moustache", "goatee"): 0.5,
        ("moustache", "full_beard"): 0.3,
        ("goatee", "full_beard"): 0.5,
    },
    "body_type": {
        ("slim", "athletic"): 0.5,
        ("slim", "average"): 0.4,
        ("athletic", "average"): 0.5,
        ("athletic", "curvy"): 0.2,
        ("average", "curvy"): 0.5,
        ("average", "plus_size"): 0.2,
        ("curvy", "plus_size"): 0.5,
    },
    "eyewear": {("glasses", "sunglasses"): 0.3},
    "headwear": {
        ("cap", "hat"): 0.4,
        ("cap", "beanie"): 0.4,
        ("cap", "other"): 0.2,
        ("hat", "beanie"): 0.3,
        ("hat", "other"): 0.3,
        ("beanie", "other"): 0.2,
    },
    "clothing_style": {
        ("casual", "sporty"): 0.3,
        ("casual", "streetwear"): 0.4,
        ("sporty", "streetwear"): 0.3,
        ("business", "elegant"): 0.5,
        ("streetwear", "alternative"): 0.3,
        ("bohemian", "vintage"): 0.4,
        ("vintage", "alternative"): 0.2,
    },
    "clothing_items": {
        ("t_shirt", "shirt"): 0.3,
        ("shirt", "blouse"): 0.6,
        ("sweater", "hoodie"): 0.6,
        ("jacket", "coat"): 0.6,
        ("jacket", "suit"): 0.4,
        ("dress", "skirt"): 0.5,
        ("trousers", "jeans"): 0.5,
        ("shorts", "swimwear"): 0.2,
        ("shorts", "sportswear"): 0.3,
    },
    "clothing_pattern": {("striped", "plaid"): 0.4, ("floral", "dotted"): 0.2},
    "accessories": {("earrings", "necklace"): 0.4},
    "vibe": {
        ("warm", "calm"): 0.3,
        ("warm", "romantic"): 0.4,
        ("playful", "adventurous"): 0.3,
        ("playful", "creative"): 0.2,
        ("confident", "elegant_mood"): 0.3,
        ("calm", "romantic"): 0.2,
        ("romantic", "elegant_mood"): 0.3,
    },
    "setting": {
        ("home", "cafe"): 0.2,
        ("street", "cafe"): 0.3,
        ("street", "car"): 0.2,
        ("cafe", "event"): 0.2,
        ("beach", "nature"): 0.4,
        ("nature", "mountains"): 0.6,
    },
    "activity": {
        ("posing", "selfie"): 0.5,
        ("sport", "dancing"): 0.3,
        ("travel", "driving"): 0.2,
        ("music", "dancing"): 0.4,
    },
    "objects": {
        ("car", "motorcycle"): 0.4,
        ("motorcycle", "bicycle"): 0.3,
        ("bicycle", "sports_gear"): 0.3,
        ("dog", "cat"): 0.4,
    },
    "shot_type": {
        ("closeup", "half_body"): 0.4,
        ("half_body", "full_body"): 0.4,
        ("half_body", "mirror_selfie"): 0.3,
        ("full_body", "mirror_selfie"): 0.3,
    },
}


def _ordered(size: int) -> FloatArray:
    steps = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    return np.power(NEIGHBOUR_SIMILARITY, steps, dtype=np.float64)


def _listed(attribute: Attribute) -> FloatArray:
    table = np.eye(len(attribute.values))
    for (one, other), alike in ALIKE.get(attribute.name, {}).items():
        i, j = attribute.values.index(one), attribute.values.index(other)
        table[i, j] = table[j, i] = alike
    return table


def table(attribute: Attribute) -> FloatArray:
    """S, shape (values, values), in the order of the attribute's values."""
    if attribute.ordered:
        return _ordered(len(attribute.values))
    return _listed(attribute)


def tables() -> dict[str, FloatArray]:
    """The table of every attribute of the schema, by name."""
    return {attribute.name: table(attribute) for attribute in SCHEMA}


def factor(similarity: FloatArray) -> FloatArray:
    """L with S = L @ L.T, lower triangular; LinAlgError if S is no similarity."""
    return np.asarray(np.linalg.cholesky(similarity), dtype=np.float64)
