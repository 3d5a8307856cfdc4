"""Who gets which arm of an experiment: by hash, so that it stays and needs no table.

Pure. A unit is whatever is to be treated alike, a person or a region: in a market of
two sides people of one region see each other, and what helps one may hurt another.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Unit(StrEnum):
    """What is assigned."""

    PERSON = "person"
    REGION = "region"


@dataclass(frozen=True)
class Experiment:
    """A name, what is assigned, and each arm's weight: its share of the sum."""

    name: str
    unit: Unit
    arms: Mapping[str, float]

    def __post_init__(self) -> None:
        weights = self.arms.values()
        if not self.name or not all(self.arms):
            raise ValueError("an experiment and its arms have names")
        if not all(math.isfinite(w) and w >= 0 for w in weights) or not sum(weights):
            raise ValueError("an arm's weight is 0 or more, and not all are 0")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "name/unit: arm=weight, arm=weight"; ValueError of other text."""
        head, _, tail = text.partition(":")
        name, _, unit = head.partition("/")
        pairs = [arm.partition("=") for arm in tail.split(",")]
        arms = {arm.strip(): float(weight) for arm, _, weight in pairs}
        if len(arms) < len(pairs):
            raise ValueError("an arm is named twice")
        return cls(name.strip(), Unit(unit.strip() or Unit.PERSON), arms)

    def arm_of(self, key: str) -> str:
        """The arm of the unit with this key.

        Weighted rendezvous hashing (Thaler & Ravishankar 1998; Schindelhauer &
        Schomaker 2005): a weight that grows takes units, and moves no others.
        """
        waits = {
            arm: -math.log(self._draw(arm, key)) / weight
            for arm, weight in self.arms.items()
            if weight
        }
        return min(waits, key=lambda arm: waits[arm])

    def _draw(self, arm: str, key: str) -> float:
        """As good as uniform in (0, 1), and always the same."""
        text = "\0".join((self.name, arm, key))
        digest = hashlib.sha256(text.encode()).digest()
        return (int.from_bytes(digest[:6]) + 0.5) / 2**48
