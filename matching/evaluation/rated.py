"""Photos that people have rated, and what each rater likes and dislikes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from matching.evaluation.london import London
from matching.features import Sighting

EXTREME: Final = 0.3

Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Rated:
    """n photos as an annotator sees them, and ratings (raters, n); nan where none is.

    A rater's photos are compared within one of `groups` (n,), such as a gender: across
    genders, orientation alone would win.
    """

    sightings: Sequence[Sighting]
    groups: npt.NDArray[np.str_]
    ratings: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Likes:
    """One rater's extremes within a group, as rows of photos in an order by chance."""

    rater: int
    group: str
    liked: Rows
    disliked: Rows

    def among(self, photos: Mask) -> Likes:
        """Those of some photos, (n,)."""
        liked, disliked = self.liked[photos[self.liked]], self.disliked
        return Likes(self.rater, self.group, liked, disliked[photos[disliked]])

    def first(self, count: int) -> Likes:
        """At most as many liked and as many disliked."""
        return Likes(self.rater, self.group, self.liked[:count], self.disliked[:count])

    @property
    def rows(self) -> Rows:
        """The liked first."""
        return np.concatenate([self.liked, self.disliked])

    @property
    def is_liked(self) -> Mask:
        """Of `rows`."""
        return np.arange(len(self.rows)) < len(self.liked)

    @property
    def fewest(self) -> int:
        """How many there are at least of each."""
        return min(len(self.liked), len(self.disliked))


def rated_faces(sightings: Sequence[Sighting], data: London) -> Rated:
    """The London faces, each rater with the gender they prefer and no other."""
    preferred = data.gender[None, :] == data.prefers[:, None]
    ratings = np.where(preferred, data.ratings, np.nan)
    return Rated(sightings, data.gender, ratings)


def everybodys_likes(data: Rated, rng: np.random.Generator) -> Iterator[Likes]:
    """Of each rater and group the top 30 % of the ratings, and the bottom 30 %."""
    for rater, ratings in enumerate(data.ratings):
        for group in np.unique(data.groups):
            suitable = (data.groups == group) & ~np.isnan(ratings)
            # Equal ratings are ordered by chance, not by the photo's number.
            order = rng.permutation(np.flatnonzero(suitable))
            order = order[np.argsort(ratings[order], kind="stable")]
            count = int(len(order) * EXTREME)
            if count:
                yield Likes(
                    rater,
                    str(group),
                    rng.permutation(order[-count:]),
                    rng.permutation(order[:count]),
                )
