"""Is taste found? Of each rater five liked and five disliked faces are known.

Liked are a rater's top 30 % of the gender they prefer, disliked the bottom 30 %, equal
ratings in an order drawn by chance. Five of each are drawn as examples; the others of
both are ranked, so that half of what is ranked is liked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from matching.evaluation.london import London
from matching.features import (
    BLOCKS,
    VISUAL,
    FeatureSpace,
    FloatArray,
    Sighting,
    photo_matrix,
)
from matching.metrics import auc, bootstrap_interval, precision_at_k
from matching.population import fit_space
from matching.preference import BayesianPreference, LinearPreference, PlainPreference

KNOWN: Final = 5  # liked, and as many disliked
EXTREME: Final = 0.3
PRECISION_AT: Final = 10
LIKED: Final = np.arange(2 * KNOWN) < KNOWN

Fit = Callable[[FloatArray], LinearPreference]
# The same examples, always the liked ones first.
METHODS: Final[dict[str, Fit]] = {
    "plain": lambda examples: PlainPreference.fit(examples, liked=LIKED),
    "posterior": lambda examples: BayesianPreference.fit(examples, liked=LIKED),
}
Figures = dict[str, Any]
Rows = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Test:
    """One rater's: rows of the faces known, liked first, and of those to be ranked."""

    rater: int
    known: Rows
    ranked: Rows
    outcomes: npt.NDArray[np.bool_]


def taste(
    sightings: Sequence[Sighting], data: London, *, seed: int = 0
) -> Figures | None:
    """Mean AUC and P@10 over raters, with their intervals, by method and by features.

    The features are those of a space fitted to these faces, as to any population. None
    where nobody has rated enough of them.
    """
    rng = np.random.default_rng(seed)
    tests = list(_tests(data, rng))
    if not tests:
        return None
    chance = [rng.random(len(test.ranked)) for test in tests]
    others = [_average_of_others(data, test) for test in tests]
    figures: Figures = {
        "raters": len(tests),
        "random": _figures(tests, chance),
        "others_average": _figures(tests, others),
    }
    space = fit_space(sightings, model="evaluated")
    features = photo_matrix(space, sightings)
    for method, fit in METHODS.items():
        figures[method] = {
            name: _figures(tests, [_scores(fit, part, test) for test in tests])
            for name, part in _parts(space, features, sightings).items()
        }
    return figures


def _tests(data: London, rng: np.random.Generator) -> Iterator[Test]:
    for rater, ratings in enumerate(data.ratings):
        suitable = (data.gender == data.prefers[rater]) & ~np.isnan(ratings)
        # Equal ratings are ordered by chance, not by the face's number.
        order = rng.permutation(np.flatnonzero(suitable))
        order = order[np.argsort(ratings[order], kind="stable")]
        count = int(len(order) * EXTREME)
        if count > KNOWN:
            disliked = rng.permutation(order[:count])
            liked = rng.permutation(order[-count:])
            known = np.concatenate([liked[:KNOWN], disliked[:KNOWN]])
            # Shuffled: equal scores keep the order given.
            rest = rng.permutation(np.concatenate([liked[KNOWN:], disliked[KNOWN:]]))
            yield Test(rater, known, rest, np.isin(rest, liked))


def _parts(
    space: FeatureSpace, features: FloatArray, sightings: Sequence[Sighting]
) -> dict[str, FloatArray]:
    """The features (n, 644), with what is not to be known of them at its average."""
    look = BLOCKS[VISUAL]
    attributes, embedding = features.copy(), np.zeros_like(features)
    attributes[:, look] = 0
    embedding[:, look] = features[:, look]
    parts = {"attributes": attributes, "embedding": embedding, "both": features}
    if all(sighting.embedding is None for sighting in sightings):
        del parts["embedding"]
    return parts


def _scores(fit: Fit, features: FloatArray, test: Test) -> FloatArray:
    return fit(features[test.known]).score(features[test.ranked])


def _average_of_others(data: London, test: Test) -> FloatArray:
    others = np.delete(data.ratings[:, test.ranked], test.rater, axis=0)
    return np.asarray(np.nanmean(others, axis=0))


def _figures(tests: Sequence[Test], scores: Sequence[FloatArray]) -> Figures:
    """One value per rater: what is ranked for one rater is not independent."""
    pairs = list(zip(scores, tests, strict=True))
    ranks = [auc(said, relevant=test.outcomes) for said, test in pairs]
    found = [
        precision_at_k(said, relevant=test.outcomes, k=PRECISION_AT)
        for said, test in pairs
    ]
    return {"auc": _interval(ranks), "precision_at_10": _interval(found)}


def _interval(values: Sequence[float]) -> dict[str, float]:
    low, high = bootstrap_interval(values)
    return {"value": float(np.mean(values)), "low": low, "high": high}
