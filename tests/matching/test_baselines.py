"""The formulas in use elsewhere, behind the interface of the default."""

import numpy as np
import pytest

from matching.features import WIDTH, FloatArray
from matching.preference import (
    METHODS,
    BestScorePreference,
    BlendPreference,
    GaussianPreference,
    LinearPreference,
    PlainPreference,
    Prior,
    cold_prior,
    fit,
)
from tests.matching.test_preference import covariance, random_photos, random_prior

NAMES = pytest.mark.parametrize("name", METHODS)
LIKED = [True, True, True, False, False]


def learned(
    name: str, *, seed: int = 0, prior: Prior | None = None
) -> tuple[LinearPreference, FloatArray]:
    """A taste for three of five photos, and three other photos."""
    photos = random_photos(np.random.default_rng(seed), count=8)
    return fit(name, photos[:5], liked=LIKED, prior=prior), photos[5:]


@NAMES
def test_every_method_scores_a_candidate_as_it_explains_them(name: str) -> None:
    taste, others = learned(name)
    for other in others:
        explained = taste.at(other).score(other[None])
        assert taste.score(other[None]) == pytest.approx(explained)


@NAMES
def test_every_method_asks_the_index_with_what_it_scores_by(name: str) -> None:
    taste, others = learned(name)
    asked = np.array(taste.probes()) @ others.T
    assert taste.score(others) == pytest.approx(asked.max(axis=0))


@NAMES
def test_every_method_turns_an_attribute_off_by_its_slider(name: str) -> None:
    taste, others = learned(name)
    only_look = taste.weighted({"appearance": 0, "style": 0, "context": 0})
    blind = others.copy()
    blind[:, 512:] = 0
    assert only_look.score(others) == pytest.approx(only_look.score(blind))


@NAMES
def test_an_example_without_weight_says_nothing_to_any_method(name: str) -> None:
    photos = random_photos(np.random.default_rng(0), count=7)
    ignored = fit(
        name, photos[:5], liked=LIKED, example_weights=[1.0, 1.0, 0.0, 1.0, 0.0]
    )
    kept = [0, 1, 3]
    without = fit(name, photos[kept], liked=[True, True, False])
    assert np.allclose(ignored.score(photos), without.score(photos), atol=1e-9)


@NAMES
def test_every_method_scores_without_any_example(name: str) -> None:
    taste = fit(name, np.empty((0, WIDTH)), liked=[])
    assert taste.score(np.ones((2, WIDTH))).tolist() == [0.0, 0.0]


def test_a_method_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no such method: oracle; there are bayesian"):
        fit("oracle", np.empty((0, WIDTH)), liked=[])


def test_the_blend_is_its_base_and_the_mean_of_the_liked() -> None:
    rng = np.random.default_rng(0)
    photos, prior = random_photos(rng, count=5), random_prior(rng)
    taste = BlendPreference.fit(photos, liked=LIKED, prior=prior)
    liked = cold_prior().variance * photos[:3].mean(axis=0)
    assert taste.weights == pytest.approx(prior.mean + liked)


def test_heavier_examples_count_more_in_the_plain_formula() -> None:
    photos = random_photos(np.random.default_rng(0), count=3)
    weights = [3.0, 1.0, 1.0]
    taste = PlainPreference.fit(
        photos, liked=[True, True, False], example_weights=weights
    )
    assert taste.credits == pytest.approx([0.75, 0.25, -0.5])


def test_ridge_regression_agrees_with_its_normal_equations() -> None:
    rng = np.random.default_rng(0)
    photos, prior = random_photos(rng, count=5), random_prior(rng)
    weights = rng.uniform(0.5, 2, 5)
    taste = GaussianPreference.fit(
        photos, liked=LIKED, example_weights=weights, dislike_share=1.0, prior=prior
    )
    labels = np.where(LIKED, 1.0, -1.0) - prior.intercept - photos @ prior.mean
    precision = np.linalg.inv(covariance(prior)) + (photos.T * weights) @ photos
    expected = np.linalg.solve(precision, photos.T @ (weights * labels))
    assert taste.learned_weights == pytest.approx(expected, abs=1e-8)


def test_the_best_score_is_that_of_the_nearest_liked_photo() -> None:
    photos = random_photos(np.random.default_rng(0), count=3)
    taste = BestScorePreference.fit(photos, liked=[True, True, False])
    scores = taste.score(photos)
    lengths = np.sqrt((photos**2 * cold_prior().variance).sum(axis=1))
    assert scores[:2] == pytest.approx(lengths[:2])  # of each with itself
    assert taste.at(photos[1]).credits.argmax() == 1
    assert np.count_nonzero(taste.at(photos[1]).credits) == 1
