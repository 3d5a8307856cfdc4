"""Further labels, which shape the features in training and are never answered.

CelebA's Male and Young and Stanford's gender are left out: gender and age are declared,
never inferred.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from annotation.evaluation.labels import UNKNOWN, Labels, Targets

OF_FACES: Final = (
    "Arched_Eyebrows",
    "Bags_Under_Eyes",
    "Bangs",
    "Bushy_Eyebrows",
    "Mouth_Slightly_Open",
    "Receding_Hairline",
    "Sideburns",
    "Wearing_Lipstick",
)
# Clothing Co-Parsing: further tags with twenty photos at least.
_TAGS: Final = tuple(
    "shoes heels pumps wedges sandals boots flats loafers sneakers socks stockings "
    "tights leggings hat sunglasses glasses bracelet ring gloves blazer cardigan vest "
    "top sweatshirt romper cape".split()
)
# Stanford Clothing: (question, answer) pairs.
_COLOURS: Final = tuple(
    "black blue brown cyan gray green many_colors purple red white yellow".split()
)
_ANSWERS: Final = (
    *((name, "2.0") for name in (*_COLOURS, "collar", "placket")),
    *(
        (name, f"{answer}.0")
        for name in ("sleevelength", "neckline")
        for answer in (1, 2, 3)
    ),
)
OF_CLOTHES: Final = (*_TAGS, *(f"{name} {answer}" for name, answer in _ANSWERS))


def celeba(labels: Labels) -> Targets:
    """CelebA's further labels, in the order of OF_FACES."""
    return np.array([labels[name] for name in OF_FACES], np.int8)


def ccp(tags: Collection[str]) -> Targets:
    """Clothing Co-Parsing's further tags, in the order of OF_CLOTHES."""
    row = unknown(OF_CLOTHES)
    row[: len(_TAGS)] = [tag in tags for tag in _TAGS]
    return row


def stanford(answers: Mapping[str, str]) -> Targets:
    """Stanford's further answers, in the order of OF_CLOTHES; empty is unknown."""
    row = unknown(OF_CLOTHES)
    row[len(_TAGS) :] = [
        answers[name] == answer if answers[name] else UNKNOWN
        for name, answer in _ANSWERS
    ]
    return row


def unknown(names: tuple[str, ...]) -> Targets:
    """Nothing known of these labels."""
    return np.full(len(names), UNKNOWN, np.int8)
