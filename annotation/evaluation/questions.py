"""Which labels a reading is measured by, and what it says of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from annotation.calibration.scaling import Floats
from annotation.evaluation.cases import CELEBA, CLOTHING, Cases
from annotation.schema import Attributes, Distribution, visible
from annotation.small.heads import PHOTO_HEADS, SLICES

Readings = Sequence[Attributes]

# CelebA label -> the attribute's values that it can mean.
CELEBA_VALUES: Final[Mapping[str, tuple[str, str]]] = {
    "Black_Hair": ("hair_color", "black"),
    "Brown_Hair": ("hair_color", "dark_brown light_brown"),
    "Blond_Hair": ("hair_color", "blonde"),
    "Gray_Hair": ("hair_color", "grey"),
    "Bald": ("hair_color", "bald"),
    "Straight_Hair": ("hair_texture", "straight"),
    "Wavy_Hair": ("hair_texture", "wavy"),
    "Eyeglasses": ("eyewear", "glasses sunglasses"),
    "Wearing_Hat": ("headwear", "cap hat beanie other"),
    "No_Beard": ("facial_hair", "none moustache"),
    "Goatee": ("facial_hair", "goatee"),
    "Mustache": ("facial_hair", "moustache"),
    "Heavy_Makeup": ("makeup", "light heavy"),
    "Smiling": ("expression", "smile laugh"),
    "Wearing_Earrings": ("accessories", "earrings"),
    "Wearing_Necklace": ("accessories", "necklace"),
    "Wearing_Necktie": ("accessories", "necktie"),
}


@dataclass(frozen=True)
class Question:
    """A label, the attribute's values that it can mean, and who is known to have it.

    `rows` are positions among the cases, `outcomes` whether the label is true there.
    """

    label: str
    attribute: str
    values: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    outcomes: npt.NDArray[np.bool_]

    @property
    def name(self) -> str:
        """Unique among all that is asked, whatever data set the photos are of."""
        return f"{self.attribute}.{self.label}"

    @property
    def means(self) -> str:
        """As "eyewear: glasses sunglasses"; the attribute alone where that says it."""
        values = " ".join(self.values)
        same = values == self.label
        return self.attribute if same else f"{self.attribute}: {values}"

    def said(self, found: Readings) -> Floats:
        """P(values) / (1 - P(not_visible)) in the readings of `rows`, (rows,)."""
        distributions = (found[row][self.attribute] for row in self.rows)
        return np.array([_given_visible(one, self.values) for one in distributions])

    def among(self, chosen: npt.NDArray[np.bool_]) -> Question:
        """The question about those cases only that the mask names."""
        kept = chosen[self.rows]
        return replace(self, rows=self.rows[kept], outcomes=self.outcomes[kept])

    def is_told_apart(self, fewest: int) -> bool:
        """Whether there are so many positives, and so many negatives."""
        positives = int(self.outcomes.sum())
        return fewest <= positives <= len(self.outcomes) - fewest


def of_faces(cases: Cases) -> Iterator[Question]:
    """CelebA's labels, of CelebA's photos."""
    rows = np.flatnonzero(cases.among(CELEBA))
    for label, (attribute, values) in CELEBA_VALUES.items():
        outcomes = np.array([cases.labels[row][label] for row in rows], np.bool_)
        yield Question(label, attribute, tuple(values.split()), rows, outcomes)


def of_clothes(cases: Cases, *kinds: str) -> Iterator[Question]:
    """Every garment, pattern and accessory, of the street photos that settle it.

    Of these data sets only, if any are named.
    """
    chosen = cases.among(*(kinds or CLOTHING))
    for head in PHOTO_HEADS[1:]:
        targets = cases.targets[:, SLICES[head.name]]
        for index, value in enumerate(head.classes):
            known = targets.sum(1) == 1 if head.exclusive else targets[:, index] >= 0
            rows = np.flatnonzero(chosen & known)
            outcomes = targets[rows, index] == 1
            yield Question(value, head.name, (value,), rows, outcomes)


def _given_visible(distribution: Distribution, values: tuple[str, ...]) -> float:
    total = sum(distribution[value] for value in values)
    return min(1.0, total / max(visible(distribution), 1e-6))
