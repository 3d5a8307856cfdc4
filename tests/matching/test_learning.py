"""The prior learned from many people, on populations whose tastes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matching.evaluation.prior_worth import worth
from matching.features import (
    BLOCKS,
    VISUAL,
    WIDTH,
    FloatArray,
    photo_matrix,
    value_weights,
)
from matching.metrics import auc
from matching.preference import (
    BayesianPreference,
    PlainPreference,
    Prior,
    cold_prior,
    sigmoid,
)
from matching.preference.learning import learn_prior
from matching.preference.raters import Rater
from tests.matching.readings import random_sighting, random_space
from tests.matching.test_preference import smoothed_presence

PHOTOS, LABELS = 500, 40


def population(seed: int = 0) -> FloatArray:
    """Photos of people, (500, 644), whose looks vary most along a few directions."""
    rng = np.random.default_rng(seed)
    spread = 1 / np.sqrt(1 + np.arange(WIDTH))
    scale = spread * np.sqrt(40 / (spread**2).sum())
    return np.asarray(rng.normal(size=(PHOTOS, WIDTH)) * scale)


def truth(seed: int = 1, *, common: float = 1.0) -> Prior:
    """Tastes that have a mean, and differ along two directions above all."""
    rng = np.random.default_rng(seed)
    factor = np.zeros((WIDTH, 2))
    factor[:40] = 0.3 * rng.normal(size=(40, 2))
    mean = np.zeros(WIDTH)
    mean[:60] = common * 0.25 * rng.normal(size=60)
    return Prior(mean=mean, variance=np.full(WIDTH, 0.02), factor=factor)


def people(
    true: Prior, photos: FloatArray, *, count: int, seed: int, labels: int = LABELS
) -> list[Rater]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        own = np.sqrt(true.variance) * rng.normal(size=WIDTH)
        own += true.factor @ rng.normal(size=true.factor.shape[1])
        shown = photos[rng.choice(len(photos), labels, replace=False)]
        chance = sigmoid(shown @ (true.mean + own))
        found.append(Rater.of(shown, liked=rng.random(labels) < chance))
    return found


def mean_auc(prior: Prior | None, unseen: list[Rater]) -> float:
    """Of unseen people: ten labels known, the others ranked; None: plain formula."""
    found = []
    for rater in unseen:
        known, ranked = rater.examples[:10], rater.examples[10:]
        liked, outcomes = rater.liked[:10], rater.liked[10:]
        taste = (
            PlainPreference.fit(known, liked=liked)
            if prior is None
            else BayesianPreference.fit(known, liked=liked, prior=prior)
        )
        if outcomes.any() and not outcomes.all():
            found.append(auc(taste.score(ranked), relevant=outcomes))
    return float(np.mean(found))


@pytest.fixture(scope="module")
def taught() -> list[Rater]:
    return people(truth(), population(), count=60, seed=2)


@pytest.fixture(scope="module")
def learned(taught: list[Rater]) -> Prior:
    return learn_prior(taught)


def test_a_learned_prior_beats_cold_and_plain_on_unseen_people_and_photos(
    learned: Prior,
) -> None:
    unseen = people(truth(), population(seed=9), count=60, seed=3)
    ours = mean_auc(learned, unseen)
    assert ours > mean_auc(cold_prior(), unseen) + 0.05
    assert ours > mean_auc(None, unseen) + 0.05
    assert ours < mean_auc(truth(), unseen) + 0.02


def test_what_it_learned_points_where_tastes_do(learned: Prior) -> None:
    true, photos = truth(), population(seed=9)
    meant, found = photos @ true.mean, photos @ learned.mean
    assert np.corrcoef(meant, found)[0, 1] > 0.5


def test_without_anybody_who_tells_it_is_cold() -> None:
    photos = population()[:4]
    all_liked = Rater.of(photos, liked=[True] * 4)
    for raters in ([], [all_liked]):
        prior = learn_prior(raters)
        assert prior.version == "cold"
        assert not prior.mean.any()


def test_with_few_people_and_photos_it_stays_near_the_cold_one() -> None:
    few = people(truth(common=0.0), population()[:25], count=3, seed=2, labels=20)
    prior, cold = learn_prior(few), cold_prior()
    looks = population(seed=9)
    assert np.std(looks @ prior.mean) < 0.2
    assert (np.abs(np.log(prior.variance / cold.variance)) < 0.2).all()


def test_tastes_with_nothing_in_common_have_no_mean() -> None:
    raters = people(truth(common=0.0), population(), count=40, seed=2)
    looks = population(seed=9)
    assert np.std(looks @ learn_prior(raters).mean) < 0.5


def test_the_same_people_in_any_order_give_bitwise_the_same_prior(
    taught: list[Rater], learned: Prior
) -> None:
    again = learn_prior(taught[::-1])
    assert again.version == learned.version
    assert (again.mean == learned.mean).all()
    assert learned.version.startswith("p-")
    assert learn_prior(taught[1:20]).version != learned.version


def test_a_learned_prior_is_constant_within_an_attribute(learned: Prior) -> None:
    for name, block in BLOCKS.items():
        assert np.ptp(learned.variance[block]) == 0
        if name != VISUAL:
            assert not learned.factor[block].any()


def test_with_a_learned_prior_what_only_the_disliked_show_is_no_wish(
    learned: Prior,
) -> None:
    rng, space = np.random.default_rng(0), random_space(0)
    prior = replace(learned, mean=rng.normal(size=WIDTH))
    tested = 0
    for _ in range(20):
        photos = photo_matrix(space, [random_sighting(rng) for _ in range(3)])
        taste = BayesianPreference.fit(photos, liked=[True, False, False], prior=prior)
        weights = value_weights(space, taste.learned_weights)
        smoothed = smoothed_presence(space, photos)
        never = (smoothed[1:] >= 0).all(axis=0) & (smoothed[0] <= 0)
        assert (weights[never] <= 1e-9).all()
        tested += int(never.sum())
    assert tested > 100


def test_it_is_worth_it_where_tastes_have_much_in_common(taught: list[Rater]) -> None:
    found = worth(taught)
    assert found.is_better
    assert found.auc > found.plain_auc
    assert found.tests > 60


def test_it_is_not_worth_it_where_everybody_likes_by_chance() -> None:
    rng = np.random.default_rng(0)
    photos = population()
    raters = [
        Rater.of(photos[rng.choice(PHOTOS, 20)], liked=rng.random(20) < 0.5)
        for _ in range(20)
    ]
    assert not worth(raters).is_better


def test_nobody_to_be_tested_on_is_no_worth() -> None:
    found = worth([])
    assert (found.tests, found.is_better) == (0, False)
