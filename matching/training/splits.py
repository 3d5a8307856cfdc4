"""Who is learned from and who is kept back: decided by a person's name alone. Pure."""

from __future__ import annotations

import hashlib
from enum import StrEnum

import numpy as np
import numpy.typing as npt

UNSEEN_SHARE = 0.2
VALIDATION_SHARE = 0.1


class Part(StrEnum):
    """What somebody's photos are for: learned from, stopped by, or measured on."""

    TRAINING = "training"
    VALIDATION = "validation"
    UNSEEN = "unseen"


def parts(
    people: npt.NDArray[np.str_], *, unseen_share: float = UNSEEN_SHARE
) -> npt.NDArray[np.str_]:
    """The part of each of these people, (n,): the same for every head, for ever."""
    return np.array([_part(name, unseen_share) for name in people.tolist()], np.str_)


def _part(name: str, unseen_share: float) -> Part:
    place = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32
    if place < unseen_share:
        return Part.UNSEEN
    is_validation = place < unseen_share + VALIDATION_SHARE
    return Part.VALIDATION if is_validation else Part.TRAINING
