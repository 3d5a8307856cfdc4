"""What liked photos have in common counts more, and the guarantees hold."""

import numpy as np
import pytest
from hypothesis import given

from matching.features import (
    BLOCKS,
    VISUAL,
    WIDTH,
    FloatArray,
    Sighting,
    photo_matrix,
    value_weights,
)
from matching.metrics import auc
from matching.preference import BayesianPreference, cold_prior
from matching.preference.base import BoolArray
from matching.preference.relevance import HALF_BELIEVED_LIKES, fit, relevance
from tests.matching.readings import (
    random_reading,
    random_sighting,
    random_space,
    reading,
    sighting,
)
from tests.matching.test_preference import (
    FEW_LABELS,
    LABELS,
    SEEDS,
    TOLERANCE,
    random_photos,
    random_prior,
    score,
    smoothed_presence,
)

COUNT = 5
LEAST = COUNT / (COUNT + HALF_BELIEVED_LIKES)
SETTING, EYEWEAR = BLOCKS["setting"], BLOCKS["eyewear"]


def of(liked: FloatArray) -> FloatArray:
    return relevance(liked, weights=np.ones(len(liked)))


def test_what_all_liked_photos_share_counts_in_full_and_the_rest_hardly() -> None:
    settings = ("gym", "home", "cafe", "car", "beach")
    photos = [sighting(eyewear="glasses", setting=setting) for setting in settings]
    left = of(photo_matrix(random_space(0), photos))
    assert left[EYEWEAR] == pytest.approx(1)
    assert (left[SETTING] < 0.3).all()


def test_it_is_the_share_of_the_mean_that_pairs_of_photos_have_in_common() -> None:
    photos = 0.5 + np.random.default_rng(0).normal(size=(COUNT, WIDTH))
    likeness = photos[:, EYEWEAR] @ photos[:, EYEWEAR].T
    pairs = likeness[~np.eye(COUNT, dtype=bool)].mean()
    common = pairs / likeness.mean()
    assert 0.1 < common < 0.9
    assert of(photos)[EYEWEAR] == pytest.approx(LEAST + (1 - LEAST) * common)


def test_photos_that_are_not_alike_leave_the_least() -> None:
    photos = np.zeros((2, WIDTH))
    photos[0, SETTING], photos[1, SETTING] = 1.0, -0.5
    assert of(photos)[SETTING] == pytest.approx(2 / (2 + HALF_BELIEVED_LIKES))


def test_where_photos_tell_nothing_the_prior_stays() -> None:
    photos = random_photos(np.random.default_rng(0), count=COUNT)
    assert (of(photos[:0]) == 1).all()
    assert (of(photos[:1]) == 1).all()
    assert (of(photos)[BLOCKS[VISUAL]] == 1).all()
    photos[1:, SETTING] = 0  # seen in one
    assert (of(photos)[SETTING] == 1).all()


def test_of_many_liked_photos_the_labels_tell_what_matters() -> None:
    photos = random_photos(np.random.default_rng(0), count=20 * HALF_BELIEVED_LIKES)
    assert (of(photos) > 0.9).all()


def test_a_photo_counts_by_its_weight() -> None:
    photos = random_photos(np.random.default_rng(0), count=3)
    twice = relevance(photos[:2], weights=np.array([2.0, 2.0]))
    assert twice == pytest.approx(of(photos[:2]))
    ignored = relevance(photos, weights=np.array([1.0, 1.0, 0.0]))
    assert ignored == pytest.approx(of(photos[:2]))
    assert (relevance(photos, weights=np.array([1.0, 1e-20, 1e-20])) == 1).all()


def test_two_things_that_matter_are_found_sooner_than_by_the_prior_alone() -> None:
    found = []
    for seed in range(12):
        photos, wanted = faces_with_glasses_in_a_gym(seed)
        known = np.r_[np.flatnonzero(wanted)[:5], np.flatnonzero(~wanted)[:5]]
        others = np.delete(np.arange(len(photos)), known)
        tastes = (
            method(photos[known], liked=wanted[known])
            for method in (fit, BayesianPreference.fit)
        )
        scores = [taste.score(photos[others]) for taste in tastes]
        found.append([auc(given, relevant=wanted[others]) for given in scores])
    ours, without = np.mean(found, axis=0)
    assert ours > without + 0.01


def faces_with_glasses_in_a_gym(seed: int) -> tuple[FloatArray, BoolArray]:
    """Photos (200, 644), read with doubt, and which are wanted.

    They differ by chance in all else.
    """
    rng = np.random.default_rng(seed)
    glasses, gym = rng.random((2, 200)) < 0.3
    photos = []
    for has_glasses, in_gym in zip(glasses, gym, strict=True):
        sure = rng.uniform(0.4, 0.9, 2)
        shown = reading(
            eyewear={"glasses" if has_glasses else "none": sure[0]},
            setting={"gym" if in_gym else "home": sure[1]},
        )
        mattering = {name: shown[name] for name in ("eyewear", "setting")}
        photos.append(Sighting(random_reading(rng) | mattering))
    return photo_matrix(random_space(0), photos), glasses & gym


# The guarantees of docs/ranking.md.


@given(seed=SEEDS, labels=LABELS)
def test_a_new_dislike_never_raises_its_own_photo(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels) + 1), random_prior(rng)
    before = fit(photos[:-1], liked=labels, prior=prior)
    after = fit(photos, liked=[*labels, False], prior=prior)
    assert score(after, photos[-1]) <= score(before, photos[-1]) + TOLERANCE


@given(seed=SEEDS, labels=LABELS)
def test_the_weights_are_credited_examples_of_the_right_sign(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels)), random_prior(rng)
    taste = fit(photos, liked=labels, prior=prior)
    dual = taste.credits @ photos
    expected = prior.mean + taste.prior.covariance_times(dual)
    assert np.allclose(taste.weights, expected, atol=1e-12)
    assert (np.where(labels, 1, -1) * taste.credits > 0).all()


@given(seed=SEEDS, labels=FEW_LABELS)
def test_a_value_more_present_in_all_disliked_than_liked_is_no_wish(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    weights = value_weights(space, fit(photos, liked=labels).weights)
    smoothed, like = smoothed_presence(space, photos), np.array(labels)
    never_wished = (smoothed[~like] >= 0).all(axis=0) & (smoothed[like] <= 0).all(0)
    assert (weights[never_wished] <= TOLERANCE).all()


@given(seed=SEEDS, labels=LABELS)
def test_the_order_of_examples_does_not_matter(seed: int, labels: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    photos, order = random_photos(rng, count=len(labels)), rng.permutation(len(labels))
    one = fit(photos, liked=labels)
    other = fit(photos[order], liked=np.array(labels)[order])
    assert np.allclose(one.weights, other.weights, atol=1e-9)


def test_the_prior_keeps_all_but_its_variances() -> None:
    prior = random_prior(np.random.default_rng(0))
    photos = random_photos(np.random.default_rng(1), count=COUNT)
    believed = fit(photos, liked=[True] * COUNT, prior=prior).prior
    assert believed.variance == pytest.approx(prior.variance * of(photos))
    assert (believed.mean == prior.mean).all()
    assert (believed.factor == prior.factor).all()
    assert (believed.intercept, believed.version) == (prior.intercept, prior.version)
    empty = fit(np.empty((0, WIDTH)), liked=[]).prior
    assert (empty.variance == cold_prior().variance).all()
