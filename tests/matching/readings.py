"""Readings for tests: written by hand, or drawn at random but obeying the schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.random import Generator

from annotation.schema import NOT_VISIBLE, SCHEMA, Kind, unseen, unseen_attributes
from matching.features import VISUAL_WIDTH, FeatureSpace, Sighting
from matching.population import fit_space

Shown = str | Mapping[str, float]


def reading(**shown: Shown) -> dict[str, dict[str, float]]:
    """A photo that shows these values for sure, or with these odds, and nothing else.

    reading(setting="gym", objects={"dog": 0.9}).
    """
    attributes = unseen_attributes()
    by_name = {attribute.name: attribute for attribute in SCHEMA}
    for name, values in shown.items():
        odds = {values: 1.0} if isinstance(values, str) else dict(values)
        seen = {**unseen(by_name[name]), NOT_VISIBLE: 0.0, **odds}
        if by_name[name].kind is Kind.ONE:
            seen[NOT_VISIBLE] = max(0.0, 1.0 - sum(odds.values()))
        attributes[name] = seen
    return attributes


def sighting(**shown: Shown) -> Sighting:
    """A photo without an embedding that shows these values."""
    return Sighting(reading(**shown))


def random_reading(rng: Generator) -> dict[str, dict[str, float]]:
    """Any reading the schema allows: sure and doubtful, seen, half seen and unseen."""
    attributes = {}
    for attribute in SCHEMA:
        seen = float(rng.choice([0.0, 1.0, rng.random()], p=[0.2, 0.4, 0.4]))
        size = len(attribute.values)
        if attribute.kind is Kind.ONE:
            p = seen * rng.dirichlet([0.3] * size)
        else:
            p = seen * rng.beta(0.2, 1.0, size)
        values = dict(zip(attribute.values, p.tolist(), strict=True))
        attributes[attribute.name] = {NOT_VISIBLE: 1.0 - seen, **values}
    return attributes


def random_sighting(rng: Generator) -> Sighting:
    """A random reading; an embedding of a common direction and noise, or none."""
    if rng.random() < 0.1:
        return Sighting(random_reading(rng))
    raw = 1.0 + rng.normal(size=VISUAL_WIDTH)
    return Sighting(random_reading(rng), raw / np.linalg.norm(raw))


def random_space(seed: int) -> FeatureSpace:
    """The feature space of one of eight random populations."""
    return _space(seed % 8)


@cache
def _space(seed: int) -> FeatureSpace:
    rng = np.random.default_rng(seed)
    return fit_space([random_sighting(rng) for _ in range(12)], model="random")


def scaled(
    attributes: Mapping[str, Mapping[str, float]], name: str, by: float
) -> dict[str, dict[str, float]]:
    """The same photo with (p, visible) of one attribute multiplied: 0 hides it."""
    changed = {key: dict(value) for key, value in attributes.items()}
    seen = 1.0 - changed[name][NOT_VISIBLE]
    changed[name] = {value: by * p for value, p in changed[name].items()}
    changed[name][NOT_VISIBLE] = 1.0 - by * seen
    return changed
