"""People whose labels a prior is learned from. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from matching.preference.base import BoolArray, FloatArray, checked_examples

# Somebody's share of likes is mixed with half of one like and of one dislike.
HALF: Final = 0.5
HALVES: Final = 2  # of the photos: what is learned from one is tested on the other


@dataclass(frozen=True, eq=False)
class Rater:
    """One person's labels: examples (n, 644), liked (n,), weights (n,)."""

    examples: FloatArray
    liked: BoolArray
    weights: FloatArray

    @classmethod
    def of(
        cls,
        examples: FloatArray,
        *,
        liked: npt.ArrayLike,
        weights: npt.ArrayLike | None = None,
    ) -> Rater:
        """Raises ValueError if the shapes disagree or a weight is negative."""
        return cls(*checked_examples(examples, liked, weights))

    @property
    def tells(self) -> bool:
        """Whether both a like and a dislike are there: else nothing is told apart."""
        counted = self.liked[self.weights > 0]
        return bool(counted.any() and not counted.all())

    @cached_property
    def digest(self) -> bytes:
        """Of the labels, by which raters are put in one order."""
        parts = (self.examples, self.liked, self.weights)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).digest()

    def divided(self, half: int, *, draw: int = 0) -> tuple[Rater, Rater]:
        """The labels on the photos of the other half, and those on this one's.

        Which half a photo is in, its content says: it is the same for all raters. What
        one draw has divided, another divides again.
        """
        digests = [hashlib.sha256(x.tobytes()).digest() for x in self.examples]
        ours = np.array([told[draw] % HALVES for told in digests], np.intp) == half
        return self._among(~ours), self._among(ours)

    def few(self, count: int) -> Rater:
        """The last labels that count: at most so many likes, and as many dislikes."""
        rows = np.flatnonzero(self.weights > 0)
        likes, dislikes = rows[self.liked[rows]], rows[~self.liked[rows]]
        return self._among(np.concatenate([likes[-count:], dislikes[-count:]]))

    def _among(self, rows: BoolArray | npt.NDArray[np.intp]) -> Rater:
        return Rater(self.examples[rows], self.liked[rows], self.weights[rows])


def log_odds(raters: Sequence[Rater]) -> float:
    """Of a like, by the weights of all labels."""
    likes = sum(float(r.weights[r.liked].sum()) for r in raters)
    all_labels = sum(float(r.weights.sum()) for r in raters)
    return float(np.log((likes + HALF) / (all_labels - likes + HALF)))
