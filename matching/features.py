"""A photo, and a person, as one vector whose inner product is the fuzzy match.

For each attribute phi = L.T @ (p - visible * mean) / scale, so that <phi(x), phi(y)>
is (p - visible * mean) @ S @ (q - visible * mean) / scale**2: how alike two photos are
above what two average people are. What is not seen adds exactly 0. Pure.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.schema import SCHEMA, SCHEMA_VERSION, Attributes, Kind, visible
from matching.similarity import factor

FloatArray = npt.NDArray[np.float64]
HalfArray = npt.NDArray[np.float16]

VISUAL = "visual"
VISUAL_WIDTH = 512
SIZES = np.array([len(attribute.values) for attribute in SCHEMA])
ATTRIBUTE_WIDTH = int(SIZES.sum())
WIDTH = VISUAL_WIDTH + ATTRIBUTE_WIDTH
STORED_WIDTH = 768  # features, slack, and zeros up to a round halfvec
SKETCH_WIDTH = 128  # what lists are made of: index.sketch

# A wish on an attribute needs a quarter of one clear photo of it.
MIN_VISIBILITY = 0.25

_STARTS = [0, *np.cumsum(SIZES).tolist()]
# Where each attribute lies among the 132 values, and each block among the 644 features.
VALUE_SLICES: Mapping[str, slice] = {
    a.name: slice(start, start + len(a.values))
    for a, start in zip(SCHEMA, _STARTS, strict=False)
}
BLOCKS: Mapping[str, slice] = {VISUAL: slice(0, VISUAL_WIDTH)} | {
    name: slice(VISUAL_WIDTH + s.start, VISUAL_WIDTH + s.stop)
    for name, s in VALUE_SLICES.items()
}


@dataclass(frozen=True)
class Sighting:
    """What one photo shows: its effective attributes and its projected embedding.

    `embedding` is a unit vector of shape (512,), or None if there is none.
    """

    attributes: Attributes
    embedding: npt.NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """The versioned frame in which photos are compared; versions are never mixed.

    `mean` (132,) is the population's share of each value where the attribute is seen,
    `scale` (20,) gives every seen attribute the mean square 1, `alpha` does the same
    for the visual part. The tables travel along, so that editing one changes no score
    before a new space is made.
    """

    model: str
    projection: str
    mean: FloatArray
    scale: FloatArray
    visual_mean: FloatArray
    alpha: float
    radius: float
    shrinkage: float
    tables: Mapping[str, FloatArray]
    schema_version: str = SCHEMA_VERSION

    @cached_property
    def version(self) -> str:
        """A name made of the content: equal spaces have equal names."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return "f-" + hashlib.sha256(text.encode()).hexdigest()[:10]

    @cached_property
    def basis(self) -> FloatArray:
        """(132, 132), block-diagonal L / scale: phi = presence @ basis."""
        basis = np.zeros((ATTRIBUTE_WIDTH, ATTRIBUTE_WIDTH))
        for (name, block), scale in zip(VALUE_SLICES.items(), self.scale, strict=True):
            basis[block, block] = factor(self.tables[name]) / scale
        return basis

    @cached_property
    def inverse_basis(self) -> FloatArray:
        """(132, 132): presence = phi @ inverse_basis."""
        return np.asarray(np.linalg.inv(self.basis), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, from which `from_dict` makes bitwise the same space."""
        fields = asdict(self) | {"tables": dict(self.tables)}
        return {name: _plain(value) for name, value in fields.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FeatureSpace:
        """Raises ValueError if the space was made for another attribute schema."""
        if data["schema_version"] != SCHEMA_VERSION:
            raise ValueError(
                f"feature space of schema {data['schema_version']}, not"
                f" {SCHEMA_VERSION}: fit a new one"
            )
        arrays = {
            name: np.array(data[name], dtype=np.float64)
            for name in ("mean", "scale", "visual_mean")
        }
        stored = {name: np.array(t) for name, t in data["tables"].items()}
        return cls(**{**data, **arrays, "tables": stored})


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value


def probabilities(readings: Iterable[Attributes]) -> tuple[FloatArray, FloatArray]:
    """The numbers of n readings: p of every value (n, 132), visible (n, 20)."""
    rows = list(readings)
    p = [[r[a.name][v] for a in SCHEMA for v in a.values] for r in rows]
    seen = [[visible(r[a.name]) for a in SCHEMA] for r in rows]
    return (
        np.array(p, dtype=np.float64).reshape(len(rows), ATTRIBUTE_WIDTH),
        np.array(seen, dtype=np.float64).reshape(len(rows), len(SCHEMA)),
    )


def embedding_matrix(sightings: Sequence[Sighting]) -> tuple[FloatArray, FloatArray]:
    """(n, 512) with zero rows where there is none, and (n,) 1 where there is one."""
    nothing = np.zeros(VISUAL_WIDTH)
    rows = [nothing if s.embedding is None else s.embedding for s in sightings]
    seen = [float(s.embedding is not None) for s in sightings]
    return np.array(rows, dtype=np.float64).reshape(-1, VISUAL_WIDTH), np.array(seen)


def centre(space: FeatureSpace, p: FloatArray, seen: FloatArray) -> FloatArray:
    """Presence above the average, p - visible * mean, (..., 132)."""
    centred: FloatArray = p - np.repeat(seen, SIZES, axis=-1) * space.mean
    return centred


def _sighted(
    space: FeatureSpace, sightings: Sequence[Sighting]
) -> tuple[FloatArray, FloatArray]:
    """Features of n photos (n, 644), and how far each of them was seen (n, 644)."""
    embeddings, has_embedding = embedding_matrix(sightings)
    p, seen = probabilities(s.attributes for s in sightings)
    centred = embeddings - has_embedding[:, None] * space.visual_mean
    phi = centre(space, p, seen) @ space.basis
    widths = [VISUAL_WIDTH, *SIZES.tolist()]
    mass = np.repeat(np.column_stack([has_embedding, seen]), widths, axis=1)
    return np.hstack([space.alpha * centred, phi]), mass


def photo_matrix(space: FeatureSpace, sightings: Sequence[Sighting]) -> FloatArray:
    """Features of n photos, (n, 644): [alpha * (embedding - mean) ; phi]."""
    return _sighted(space, sightings)[0]


def photo_features(space: FeatureSpace, sighting: Sighting) -> FloatArray:
    """Features of one photo, (644,)."""
    features: FloatArray = photo_matrix(space, [sighting])[0]
    return features


def person_features(space: FeatureSpace, sightings: Sequence[Sighting]) -> FloatArray:
    """The visibility-weighted mean of a person's photos, shrunk where little is seen.

    With n = sum visible, each attribute's p is sum p / (n + shrinkage) and its
    visibility n / (n + shrinkage): sum of the photos' features / (n + shrinkage).
    """
    features, seen = _sighted(space, sightings)
    shrunk: FloatArray = features.sum(axis=0) / (seen.sum(axis=0) + space.shrinkage)
    return shrunk


def presence(space: FeatureSpace, features: FloatArray) -> FloatArray:
    """p - visible * mean of every value, (..., 132), recovered from the features."""
    recovered: FloatArray = features[..., VISUAL_WIDTH:] @ space.inverse_basis
    return recovered


def value_weights(space: FeatureSpace, weights: FloatArray) -> FloatArray:
    """(L @ w)_v / scale of every value, (132,): log-odds per unit of its presence."""
    per_value: FloatArray = space.basis @ weights[VISUAL_WIDTH:]
    return per_value


def pack(space: FeatureSpace, features: FloatArray) -> HalfArray:
    """The stored vector, (768,): features, a slack that evens the norm, zeros.

    All vectors have the norm `radius`, which an inner-product index needs; one that is
    longer gets slack 0: its score stays right, only the index may find it later.
    """
    stored = np.zeros(STORED_WIDTH, dtype=np.float16)
    stored[:WIDTH] = features
    square = float((stored.astype(np.float64) ** 2).sum())
    stored[WIDTH] = math.sqrt(max(0.0, space.radius**2 - square))
    return stored


def pack_query(weights: FloatArray) -> npt.NDArray[np.float32]:
    """The query, (768,): slack 0, so that the norm of what is stored adds nothing."""
    query = np.zeros(STORED_WIDTH, dtype=np.float32)
    query[:WIDTH] = weights
    return query


def unpack(stored: npt.ArrayLike) -> FloatArray:
    """The features (..., 644) of stored vectors (..., 768), in float64."""
    return np.asarray(np.asarray(stored)[..., :WIDTH], dtype=np.float64)


def person_presence(readings: Sequence[Attributes]) -> dict[str, float]:
    """Probability of each "attribute.value" of a person, for hard wishes.

    `one`: the mean over photos weighted by visibility; absent where too little is seen.
    `many`: the highest of the photos that show the attribute; a dog once is a dog.
    """
    p, seen = probabilities(readings)
    known: dict[str, float] = {}
    for index, attribute in enumerate(SCHEMA):
        mass = float(seen[:, index].sum())
        if mass < MIN_VISIBILITY:
            continue
        values = p[:, VALUE_SLICES[attribute.name]]
        is_many = attribute.kind is Kind.MANY
        chance = values.max(axis=0) if is_many else values.sum(axis=0) / mass
        names = (f"{attribute.name}.{value}" for value in attribute.values)
        known |= zip(names, chance.tolist(), strict=True)
    return known
