"""What each example of a taste brings to a score, by the look and by each value. Pure.

A share is credit * <C x, candidate>, taken apart; over the examples, the shares of a
value sum to its addend, (p_v - visible * mean_v) * (L @ (w - w0))_v / scale. Log-odds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, count

import numpy as np
import numpy.typing as npt

from annotation.schema import value_names
from matching.features import VALUE_SLICES, VISUAL, VISUAL_WIDTH, FeatureSpace
from matching.preference import LinearPreference

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
# 1-based positions among the liked, and among the disliked.
Photos = tuple[tuple[int, ...], tuple[int, ...]]

# A photo is named if it brings at least half of what the strongest one does.
NAMED_SHARE = 0.5

# Where the look and the attributes lie among the shares: 1 + 132 columns.
COLUMNS: Mapping[str, slice] = {VISUAL: slice(0, 1)} | {
    name: slice(1 + s.start, 1 + s.stop) for name, s in VALUE_SLICES.items()
}
# What each column is about: (name, value); the look has none.
ADDED: Sequence[tuple[str, str | None]] = (
    (VISUAL, None),
    *((attribute.name, value) for attribute, value in value_names()),
)
_STARTS = [s.start for s in COLUMNS.values()]
_WIDTHS = [s.stop - s.start for s in COLUMNS.values()]


def shares(
    space: FeatureSpace,
    *,
    preference: LinearPreference,
    features: FloatArray,
    above: FloatArray,
) -> FloatArray:
    """What each of n examples brings to m people, (m, n, 133).

    Of their features (m, 644), and the presence of each value above the average,
    (m, 132). A taste that is not linear credits the same examples anew for everybody.
    """
    credits = np.array([preference.at(one).credits for one in features])
    look = features[:, :VISUAL_WIDTH] @ preference.pulls[:, :VISUAL_WIDTH].T
    of_values = preference.pulls[:, VISUAL_WIDTH:] @ space.basis.T
    pulled = np.empty((*credits.shape, len(ADDED)))
    pulled[..., 0] = look
    np.multiply(of_values, above[:, None], out=pulled[..., 1:])
    pulled *= credits[..., None]
    return pulled


def of_attributes(by_columns: FloatArray) -> FloatArray:
    """The sums of the look and of each whole attribute, (..., 21) of (..., 133)."""
    summed: FloatArray = np.add.reduceat(by_columns, _STARTS, axis=-1)
    return summed


def of_columns(by_attributes: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """For each column what is true of its attribute, (..., 133) of (..., 21)."""
    return np.repeat(by_attributes, _WIDTHS, axis=-1)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Which of the examples, `liked` (n,) or not, bring something.

    Where they are not `named`, nobody may know: people taught.
    """

    liked: BoolArray
    named: bool = True

    def of(
        self, brought: FloatArray, *, among: BoolArray | None = None
    ) -> list[Photos]:
        """The strongest that bring something above 0, of shares (k, n): k times.

        Or of those `among` them, (k, n).
        """
        if not (self.named and brought.size):
            return [((), ())] * len(brought)
        counted = brought if among is None else np.where(among, brought, 0.0)
        most = counted.max(axis=1, keepdims=True)
        bring = (counted >= NAMED_SHARE * most) & (counted > 0)
        liked, disliked = bring[:, self.liked], bring[:, ~self.liked]
        return list(zip(_positions(liked), _positions(disliked), strict=True))

    def of_sides(self, brought: FloatArray) -> tuple[FloatArray, FloatArray]:
        """What the liked and what the disliked bring, (m, k) each of (m, n, k)."""
        sides = brought[:, self.liked], brought[:, ~self.liked]
        return sides[0].sum(axis=1), sides[1].sum(axis=1)


def _positions(named: BoolArray) -> list[tuple[int, ...]]:
    """Of each row (k, n), 1-based, as people count."""
    return [tuple(compress(count(1), row)) for row in named.tolist()]
