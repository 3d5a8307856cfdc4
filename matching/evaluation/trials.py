"""Trials of taste: nothing is learned from the raters or the photos that are tested.

Raters and photos are divided into parts. Of a rater, examples are photos of all parts
but one, which is ranked; the prior, and the space, are learned from the other photos'
ratings by the other raters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from matching.evaluation.rated import Likes, Mask, Rated, Rows, everybodys_likes
from matching.features import BLOCKS, VISUAL, FloatArray, photo_matrix
from matching.population import fit_space
from matching.preference import Prior
from matching.preference.learning import learn_prior
from matching.preference.raters import Rater

KNOWN: Final = 5  # liked, and as many disliked
LEAST_RANKED: Final = 2  # liked, and as many disliked
# Of one rater, for the prior: more would weigh little and take long.
MOST_LEARNED: Final = 50  # liked, and as many disliked
RATER_PARTS: Final = 4
PHOTO_PARTS: Final = 3
PARTS: Final = ("attributes", "embedding", "both")

SEED: Final = 0

Step = Callable[[], None]
LikesOf = Callable[[Rated, np.random.Generator], Iterable[Likes]]


@dataclass(frozen=True, eq=False)
class Trial:
    """What is known of one rater, photos (n, 644) to be ranked, and which are liked.

    `known` are examples (k, 644) with `liked` (k,), `prior` is of people and photos
    that have no part in it; `others` are the other raters' mean ratings, (n,).
    """

    rater: int
    group: str
    known: FloatArray
    liked: Mask
    prior: Prior
    ranked: FloatArray
    outcomes: Mask
    others: FloatArray


@dataclass(frozen=True, eq=False)
class Division:
    """Which raters and which photos are tested."""

    raters: Mask
    photos: Mask


def divisions(data: Rated, rng: np.random.Generator) -> Iterator[Division]:
    """Every part of the raters with every part of the photos."""
    raters, photos = data.ratings.shape
    of_rater = rng.permutation(raters) % RATER_PARTS
    of_photo = rng.permutation(photos) % PHOTO_PARTS
    for r in range(RATER_PARTS):
        for p in range(PHOTO_PARTS):
            yield Division(of_rater == r, of_photo == p)


def trials(
    data: Rated,
    *,
    part: str = "both",
    known: int | None = KNOWN,
    likes_of: LikesOf = everybodys_likes,
    step: Step = lambda: None,
) -> Iterator[Trial]:
    """Of every rater with enough likes and dislikes; `known` None: all there are."""
    rng = np.random.default_rng(SEED)
    likes = list(likes_of(data, rng))
    for division in divisions(data, rng):
        features = _features(data, division, part)
        for group in sorted({own.group for own in likes}):
            of_group = [own for own in likes if own.group == group]
            yield from _of_group(data, division, features, of_group, known)
        step()


def count_divisions() -> int:
    """How often `trials` steps."""
    return RATER_PARTS * PHOTO_PARTS


def _features(data: Rated, division: Division, part: str) -> FloatArray:
    """All photos (n, 644) in a space of those that are not tested."""
    learned_from = [
        data.sightings[row] for row in np.flatnonzero(~division.photos).tolist()
    ]
    space = fit_space(learned_from, model="evaluated")
    return only(part, photo_matrix(space, data.sightings))


def only(part: str, features: FloatArray) -> FloatArray:
    """The features (n, 644), with what is not to be known of them at its average."""
    look = np.zeros(features.shape[1], np.bool_)
    look[BLOCKS[VISUAL]] = True
    hidden = {"attributes": look, "embedding": ~look, "both": look & ~look}[part]
    kept: FloatArray = np.where(hidden, 0.0, features)
    return kept


def _of_group(
    data: Rated,
    division: Division,
    features: FloatArray,
    likes: Sequence[Likes],
    known: int | None,
) -> Iterator[Trial]:
    learned, tested = ~division.photos, division.photos
    examples = [own.among(learned) for own in likes]
    prior = learn_prior(
        [
            Rater.of(features[own.rows], liked=own.is_liked)
            for own in (example.first(MOST_LEARNED) for example in examples)
            if not division.raters[own.rater]
        ]
    )
    for own, example in zip(likes, examples, strict=True):
        shown, ranked = example.first(known or len(learned)), own.among(tested)
        enough = shown.fewest >= (known or KNOWN) and ranked.fewest >= LEAST_RANKED
        if division.raters[own.rater] and enough:
            # By number: equal scores keep the order given, which must not be by liking.
            rows = np.sort(ranked.rows)
            yield Trial(
                own.rater,
                own.group,
                features[shown.rows],
                shown.is_liked,
                prior,
                features[rows],
                np.isin(rows, ranked.liked),
                _others(data, own.rater, rows),
            )


def _others(data: Rated, rater: int, rows: Rows) -> FloatArray:
    """Mean ratings by all others; the mean of all where nobody else has rated one."""
    others = np.delete(data.ratings[:, rows], rater, axis=0)
    known = ~np.isnan(others)
    total, count = np.where(known, others, 0.0).sum(axis=0), known.sum(axis=0)
    usual = total.sum() / max(1, count.sum())
    means: FloatArray = np.where(count, total / np.maximum(count, 1), usual)
    return means
