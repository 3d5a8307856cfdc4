"""When people join, and when they come. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.intp]

ABSENT = -1
WAVES = 8  # in a day, after each of which everybody's figures are up to date
GONE_DAYS = 7  # who has not come for so long before the first day never will
LONGEST_GONE_DAYS = 60
USUAL_PAUSE_DAYS = 2.0


def history(
    count: int, *, days: int, newcomers: float, dormant: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """The day everybody joins, and the last on which they came before the first day."""
    joins = rng.random(count) < newcomers
    joined = np.where(joins, rng.integers(1, max(2, days), size=count), 0)
    gone = rng.random(count) < dormant
    lately = np.minimum(rng.exponential(USUAL_PAUSE_DAYS, count), GONE_DAYS - 1)
    before = np.where(gone, rng.uniform(GONE_DAYS, LONGEST_GONE_DAYS, count), lately)
    return joined.astype(np.intp), np.where(joins, joined, -before)


def waves(
    joined: IntArray,
    last_active: FloatArray,
    *,
    days: int,
    activity: float,
    rng: np.random.Generator,
) -> IntArray:
    """When in each day everybody comes, (D, N); who joins comes on that day."""
    habit = rng.beta(2 * activity, 2 * (1 - activity), size=len(joined))
    day = np.arange(days)[:, None]
    comes = (rng.random((days, len(joined))) < habit) & (day > joined)
    comes |= (day == joined) & ((joined > 0) | (rng.random(len(joined)) < habit))
    comes &= last_active > -GONE_DAYS
    return np.where(comes, rng.integers(WAVES, size=comes.shape), ABSENT)
