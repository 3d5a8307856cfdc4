"""Views that a network can learn in seconds: bright squares and dark ones."""

from __future__ import annotations

import numpy as np

from annotation.evaluation.labels import UNKNOWN
from annotation.small.heads import FACE_HEADS, width
from annotation.training.further import OF_FACES
from annotation.training.views import Views


def blocks(count: int = 48) -> Views:
    """Bright and dark squares: the bright ones are labelled blonde, the dark black."""
    rng = np.random.default_rng(5)
    bright = np.arange(count) % 2
    noise = rng.integers(0, 40, (count, 32, 32, 3))
    images = (noise + (bright * 180)[:, None, None, None]).astype(np.uint8)
    targets = np.zeros((count, width(FACE_HEADS)), np.int8)
    targets[:, :2] = UNKNOWN  # presence
    targets[:, -3:] = UNKNOWN  # jewellery
    targets[np.arange(count), 2 + 2 * bright] = 1  # black or blonde
    return Views(
        images,
        targets,
        np.full((count, len(OF_FACES)), UNKNOWN, np.int8),
        np.arange(count) // 2,
        np.zeros(count, np.int64),
        np.zeros(count, bool),
    )
