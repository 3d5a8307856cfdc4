"""What every method is worth on data: AUC, P@10, nDCG@10, with intervals. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np

from matching.evaluation.trials import SEED, Trial
from matching.features import FloatArray
from matching.metrics import auc, bootstrap_interval, ndcg_at_k, precision_at_k
from matching.preference import DEFAULT, METHODS, cold_prior, fit

AT: Final = 10
PLAIN: Final = "plain"
COLD: Final = "bayesian_cold"
DECIMALS: Final = 4

Figures = dict[str, Any]
Score = Callable[[Trial, np.random.Generator], FloatArray]
# AUC, P@10 and nDCG@10 of one trial.
Worth = tuple[float, float, float]


def _learned(name: str) -> Score:
    """A method as it is served: with the prior that was learned from others."""

    def score(trial: Trial, rng: np.random.Generator) -> FloatArray:
        taste = fit(name, trial.known, liked=trial.liked, prior=trial.prior)
        return taste.score(trial.ranked)

    return score


def _cold(trial: Trial, rng: np.random.Generator) -> FloatArray:
    taste = fit(DEFAULT, trial.known, liked=trial.liked, prior=cold_prior())
    return taste.score(trial.ranked)


# "bayesian" has the learned prior, as the product once there is feedback.
SCORES: Final[Mapping[str, Score]] = {
    "random": lambda trial, rng: rng.random(len(trial.ranked)),
    "others_average": lambda trial, rng: trial.others,
    COLD: _cold,
    **{name: _learned(name) for name in METHODS},
}


def measure(trials: Iterable[Trial]) -> Figures:
    """By method: means over raters; what is ranked for one rater is not independent.

    `difference` is of a method's AUC to the plain formula's, rater by rater.
    """
    rng = np.random.default_rng(SEED)
    found: dict[str, dict[int, list[Worth]]] = {
        name: defaultdict(list) for name in SCORES
    }
    for trial in trials:
        for name, score in SCORES.items():
            found[name][trial.rater].append(_worth(score(trial, rng), trial))
    by_rater = {
        name: np.array([np.mean(own, axis=0) for own in raters.values()])
        for name, raters in found.items()
        if raters
    }
    return {
        name: _figures(worth, by_rater[PLAIN][:, 0]) for name, worth in by_rater.items()
    }


def _worth(scores: FloatArray, trial: Trial) -> Worth:
    liked = trial.outcomes
    return (
        auc(scores, relevant=liked),
        precision_at_k(scores, relevant=liked, k=AT),
        ndcg_at_k(scores, gains=liked, k=AT),
    )


def _figures(worth: FloatArray, plain: FloatArray) -> Figures:
    """Of worth (raters, 3), and the plain formula's AUC (raters,)."""
    means = [round(float(mean), DECIMALS) for mean in worth.mean(axis=0)]
    difference = worth[:, 0] - plain
    return {
        "auc": means[0],
        "p_at_10": means[1],
        "ndcg_at_10": means[2],
        "auc_ci": _interval(worth[:, 0]),
        "difference": round(float(difference.mean()), DECIMALS),
        "difference_ci": _interval(difference),
        "n_raters": len(worth),
    }


def _interval(values: FloatArray) -> list[float]:
    return [round(bound, DECIMALS) for bound in bootstrap_interval(values)]
