"""The five guarantees of docs/ranking.md as properties, and the machinery beside."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.schema import NOT_VISIBLE, SCHEMA, Kind
from matching.features import (
    BLOCKS,
    VALUE_SLICES,
    VISUAL,
    WIDTH,
    FeatureSpace,
    FloatArray,
    Sighting,
    person_features,
    photo_features,
    photo_matrix,
    presence,
    value_weights,
)
from matching.preference import (
    DISLIKE_SHARE,
    BayesianPreference,
    LinearPreference,
    PlainPreference,
    Prior,
    cold_prior,
    importance,
    sigmoid,
)
from matching.preference.bayesian import MANY_EXAMPLES
from tests.matching.readings import (
    random_reading,
    random_sighting,
    random_space,
    scaled,
    sighting,
)

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.booleans(), min_size=1, max_size=12)
FEW_LABELS = st.lists(st.booleans(), min_size=1, max_size=5)
TOLERANCE = 1e-9


def random_photos(rng: np.random.Generator, *, count: int) -> FloatArray:
    space = random_space(int(rng.integers(8)))
    return photo_matrix(space, [random_sighting(rng) for _ in range(count)])


def random_prior(rng: np.random.Generator) -> Prior:
    return Prior(
        mean=0.2 * rng.normal(size=WIDTH),
        variance=rng.uniform(0.02, 2.0, WIDTH),
        factor=0.1 * rng.normal(size=(WIDTH, 3)),
        intercept=float(rng.normal()),
        version="random",
    )


def covariance(prior: Prior) -> FloatArray:
    dense: FloatArray = np.diag(prior.variance) + prior.factor @ prior.factor.T
    return dense


def score(preference: LinearPreference, features: FloatArray) -> float:
    return float(preference.score(features[None])[0])


# 1. A label never moves its own photo the wrong way.


@given(seed=SEEDS, labels=LABELS)
def test_a_new_dislike_never_raises_and_a_like_never_lowers_its_own_photo(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels) + 1), random_prior(rng)
    new = photos[-1]
    before = BayesianPreference.fit(photos[:-1], liked=labels, prior=prior)
    like = BayesianPreference.fit(photos, liked=[*labels, True], prior=prior)
    dislike = BayesianPreference.fit(photos, liked=[*labels, False], prior=prior)
    assert score(dislike, new) <= score(before, new) + TOLERANCE
    assert score(like, new) >= score(before, new) - TOLERANCE


@given(seed=SEEDS, labels=LABELS, more=st.floats(0.1, 5))
def test_weighting_a_label_more_never_moves_its_photo_the_other_way(
    seed: int, labels: list[bool], more: float
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels)), random_prior(rng)
    weights = rng.uniform(0.1, 2, len(labels))
    heavier = weights + more * (np.arange(len(labels)) == 0)
    light, heavy = (
        BayesianPreference.fit(photos, liked=labels, example_weights=w, prior=prior)
        for w in (weights, heavier)
    )
    sign = 1 if labels[0] else -1
    change = score(heavy, photos[0]) - score(light, photos[0])
    assert sign * change >= -TOLERANCE


# 2. Every like is credited, every dislike debited.


@given(seed=SEEDS, labels=LABELS)
def test_the_weights_are_the_prior_plus_credited_examples(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels)), random_prior(rng)
    taste = BayesianPreference.fit(photos, liked=labels, prior=prior)
    dual = taste.credits @ photos
    along = prior.factor @ (prior.factor.T @ dual)
    expected = prior.mean + prior.variance * dual + along
    assert np.allclose(taste.weights, expected, atol=1e-12)
    assert (np.where(labels, 1, -1) * taste.credits > 0).all()


@given(seed=SEEDS, labels=LABELS)
def test_the_credits_are_at_the_optimum(seed: int, labels: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels)), random_prior(rng)
    taste = BayesianPreference.fit(photos, liked=labels, prior=prior)
    surprise = np.where(labels, 1, 0) - sigmoid(taste.score(photos))
    counts = np.where(labels, 1, DISLIKE_SHARE)
    assert np.allclose(taste.credits, counts * surprise, atol=1e-8)


# 3. What is seen only in disliked photos never becomes a wish.


@given(seed=SEEDS, labels=FEW_LABELS, plain=st.booleans())
def test_a_value_more_present_in_all_disliked_than_liked_is_no_wish(
    seed: int, labels: list[bool], *, plain: bool
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    fit = PlainPreference.fit if plain else BayesianPreference.fit
    weights = value_weights(space, fit(photos, liked=labels).weights)
    smoothed, like = smoothed_presence(space, photos), np.array(labels)
    in_disliked = (smoothed[~like] >= 0).all(axis=0)
    not_in_liked = (smoothed[like] <= 0).all(axis=0)
    never_wished = in_disliked & not_in_liked
    assert (weights[never_wished] <= TOLERANCE).all()


def smoothed_presence(space: FeatureSpace, photos: FloatArray) -> FloatArray:
    above = presence(space, photos)
    smoothed = np.zeros_like(above)
    for name, values in VALUE_SLICES.items():
        smoothed[:, values] = above[:, values] @ space.tables[name]
    return smoothed


def test_what_only_the_disliked_show_becomes_an_aversion() -> None:
    space = random_space(0)
    liked, disliked = sighting(setting="home"), sighting(setting="gym")
    photos = photo_matrix(space, [liked, disliked])
    taste = BayesianPreference.fit(photos, liked=[True, False])
    weights = value_weights(space, taste.weights)[VALUE_SLICES["setting"]]
    values = next(a.values for a in SCHEMA if a.name == "setting")
    assert weights[values.index("gym")] < 0 < weights[values.index("home")]


# 4. What is hidden adds nothing, in proportion.


@given(
    seed=SEEDS,
    labels=LABELS,
    share=st.floats(0, 1),
    name=st.sampled_from([a.name for a in SCHEMA]),
)
def test_scaling_what_is_seen_of_an_attribute_scales_its_addend(
    seed: int, labels: list[bool], share: float, name: str
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels)
    shown = random_reading(rng)
    full = photo_features(space, Sighting(shown))
    hidden = photo_features(space, Sighting(scaled(shown, name, share)))
    addend = float(full[BLOCKS[name]] @ taste.weights[BLOCKS[name]])
    lost = score(taste, full) - score(taste, hidden)
    assert lost == pytest.approx((1 - share) * addend, abs=TOLERANCE)


@given(
    seed=SEEDS,
    labels=LABELS,
    share=st.floats(0, 1),
    name=st.sampled_from([a.name for a in SCHEMA]),
)
def test_hiding_a_positive_addend_never_raises_the_score_of_a_person(
    seed: int, labels: list[bool], share: float, name: str
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels)
    shown = [random_reading(rng) for _ in range(3)]
    full = person_features(space, [Sighting(a) for a in shown])
    hidden = person_features(space, [Sighting(scaled(a, name, share)) for a in shown])
    addend = float(full[BLOCKS[name]] @ taste.weights[BLOCKS[name]])
    gained = score(taste, hidden) - score(taste, full)
    assert gained * np.sign(addend) <= TOLERANCE


@given(seed=SEEDS, labels=LABELS)
def test_somebody_of_whom_nothing_is_known_scores_exactly_the_average(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    space, prior = random_space(seed), random_prior(rng)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels, prior=prior)
    assert score(taste, person_features(space, [])) == prior.intercept
    assert score(taste, person_features(space, [sighting()])) == prior.intercept


@given(seed=SEEDS)
def test_a_sparse_profile_never_outranks_a_full_match(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in range(10)])
    taste = BayesianPreference.fit(photos, liked=[True] * 5 + [False] * 5)
    weights = value_weights(space, taste.weights)
    wished = {
        a.name: a.values[int(weights[VALUE_SLICES[a.name]].argmax())]
        for a in SCHEMA
        if a.kind is Kind.ONE
    }
    full = score(taste, photo_features(space, sighting(**wished)))
    for name, value in wished.items():
        sparse = photo_features(space, sighting(**{name: value}))
        assert score(taste, sparse) <= full + TOLERANCE


# 5. Undoing is exact.


@given(seed=SEEDS, labels=st.lists(st.booleans(), min_size=2, max_size=12))
def test_a_withdrawn_label_leaves_bitwise_the_taste_without_it(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    photos, prior = random_photos(rng, count=len(labels)), random_prior(rng)
    without = BayesianPreference.fit(photos[1:], liked=labels[1:], prior=prior)
    BayesianPreference.fit(photos, liked=labels, prior=prior)
    undone = BayesianPreference.fit(photos[1:], liked=labels[1:], prior=prior)
    assert (undone.weights == without.weights).all()
    assert (undone.credits == without.credits).all()


# The machinery beside.


def test_without_examples_the_taste_is_the_prior() -> None:
    prior = random_prior(np.random.default_rng(0))
    taste = BayesianPreference.fit(np.empty((0, WIDTH)), liked=[], prior=prior)
    assert (taste.weights == prior.mean).all()
    probe = np.random.default_rng(1).normal(size=(3, WIDTH))
    spread = np.einsum("ij,jk,ik->i", probe, covariance(prior), probe)
    assert taste.variance(probe) == pytest.approx(spread)


def test_examples_do_not_move_the_intercept() -> None:
    photos = random_photos(np.random.default_rng(0), count=4)
    prior = replace(cold_prior(), intercept=-2.0)
    taste = BayesianPreference.fit(photos, liked=[True] * 4, prior=prior)
    assert score(taste, np.zeros(WIDTH)) == -2.0


@pytest.mark.parametrize("count", [10, MANY_EXAMPLES + 1])
def test_starting_warm_leads_to_the_same_taste(count: int) -> None:
    rng = np.random.default_rng(0)
    photos, labels = random_photos(rng, count=count), rng.random(count) < 0.5
    cold = BayesianPreference.fit(photos, liked=labels)
    start = np.append(
        BayesianPreference.fit(photos[:-1], liked=labels[:-1]).credits, 0.0
    )
    warm = BayesianPreference.fit(photos, liked=labels, start=start)
    assert np.allclose(warm.weights, cold.weights, atol=1e-9)


@pytest.mark.parametrize("count", [MANY_EXAMPLES + 30, 3 * MANY_EXAMPLES])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_many_examples_reach_the_same_optimum_as_few(scale: float, count: int) -> None:
    rng = np.random.default_rng(0)
    photos = scale * random_photos(rng, count=count)
    labels, prior = rng.random(count) < 0.4, random_prior(rng)
    taste = BayesianPreference.fit(photos, liked=labels, prior=prior)
    surprise = np.where(labels, 1, 0) - sigmoid(taste.score(photos))
    counts = np.where(labels, 1, DISLIKE_SHARE)
    assert np.allclose(taste.credits, counts * surprise, atol=1e-8)


def test_it_converges_on_extreme_examples() -> None:
    photos = 1e3 * random_photos(np.random.default_rng(0), count=10)
    labels = [True, False] * 5
    taste = BayesianPreference.fit(
        photos, liked=labels, example_weights=np.full(10, 50.0)
    )
    assert np.isfinite(taste.weights).all()


def test_contradicting_labels_of_one_photo_cancel() -> None:
    photo = random_photos(np.random.default_rng(0), count=1)
    taste = BayesianPreference.fit(
        np.vstack([photo, photo]), liked=[True, False], dislike_share=1.0
    )
    assert np.allclose(taste.weights, 0, atol=1e-12)


def test_an_example_without_weight_changes_nothing() -> None:
    photos = random_photos(np.random.default_rng(0), count=3)
    labels = [True, False, False]
    ignored = BayesianPreference.fit(
        photos, liked=labels, example_weights=[1.0, 1.0, 0.0]
    )
    without = BayesianPreference.fit(photos[:2], liked=labels[:2])
    assert np.allclose(ignored.weights, without.weights, atol=1e-10)


def test_the_uncertainty_matches_the_dense_laplace_posterior() -> None:
    rng = np.random.default_rng(0)
    photos, labels = random_photos(rng, count=8), rng.random(8) < 0.5
    prior = random_prior(rng)
    taste = BayesianPreference.fit(photos, liked=labels, prior=prior)
    precision = np.linalg.inv(covariance(prior))
    precision += (photos.T * taste.curvature) @ photos
    posterior = np.linalg.inv(precision)
    probe = random_photos(rng, count=5)
    expected = np.einsum("ij,jk,ik->i", probe, posterior, probe)
    assert taste.variance(probe) == pytest.approx(expected)


def test_examples_make_more_certain_than_the_prior_alone() -> None:
    photos = random_photos(np.random.default_rng(0), count=6)
    taste = BayesianPreference.fit(photos, liked=[True] * 3 + [False] * 3)
    before = (photos**2 * cold_prior().variance).sum(axis=1)
    assert (taste.variance(photos) < before).all()
    assert (taste.variance(photos) > 0).all()


def test_the_plain_formula_is_the_liked_mean_minus_a_share_of_the_disliked() -> None:
    photos = random_photos(np.random.default_rng(0), count=5)
    labels = np.array([True, True, False, False, False])
    taste = PlainPreference.fit(photos, liked=labels, dislike_share=0.8)
    formula = photos[labels].mean(axis=0) - 0.8 * photos[~labels].mean(axis=0)
    direction = cold_prior().variance * formula
    assert np.allclose(taste.weights / direction, (taste.weights / direction)[-1])


def test_the_plain_formula_works_without_dislikes() -> None:
    photos = random_photos(np.random.default_rng(0), count=2)
    taste = PlainPreference.fit(photos, liked=[True, True])
    assert np.isfinite(taste.weights).all()
    assert score(taste, photos[0]) > 0


@pytest.mark.parametrize("kind", [BayesianPreference, PlainPreference])
def test_the_index_is_asked_with_the_weights_that_score(
    kind: type[BayesianPreference] | type[PlainPreference],
) -> None:
    photos = random_photos(np.random.default_rng(0), count=6)
    taste = kind.fit(photos[:4], liked=[True, True, False, False])
    (probe,) = taste.probes()
    assert taste.score(photos) == pytest.approx(photos @ probe)


def test_sliders_multiply_an_attribute_by_its_group() -> None:
    factors = importance({"style": 2.0, "vibe": 0.5, "visual": 0.0})
    assert (factors[BLOCKS["vibe"]] == 1.0).all()
    assert (factors[BLOCKS["expression"]] == 2.0).all()
    assert (factors[BLOCKS["setting"]] == 1.0).all()
    assert not factors[BLOCKS[VISUAL]].any()


def test_a_slider_scales_what_its_attribute_adds() -> None:
    rng = np.random.default_rng(0)
    photos = random_photos(rng, count=8)
    taste = BayesianPreference.fit(
        photos, liked=[True] * 4 + [False] * 4, prior=random_prior(rng)
    )
    setting = BLOCKS["setting"]
    stressed = taste.weighted({"setting": 3.0})
    addend = photos[:, setting] @ taste.weights[setting]
    change = stressed.score(photos) - taste.score(photos)
    assert change == pytest.approx(2 * addend)


@pytest.mark.parametrize(
    ("sliders", "problem"),
    [
        ({"race": 1.0}, "no such attribute or group: race"),
        ({"setting": -1.0}, "0 or more"),
        ({"setting": float("nan")}, "finite"),
    ],
)
def test_a_slider_it_does_not_understand_is_refused(
    sliders: dict[str, float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        importance(sliders)


def test_labels_and_weights_must_fit_the_examples() -> None:
    photos = np.zeros((2, WIDTH))
    with pytest.raises(ValueError, match="2 examples but 1 labels"):
        BayesianPreference.fit(photos, liked=[True])
    with pytest.raises(ValueError, match="per example"):
        BayesianPreference.fit(photos, liked=[True, False], example_weights=[1, -1])


def test_the_sigmoid_does_not_overflow() -> None:
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_hiding_an_attribute_keeps_a_valid_reading() -> None:
    hidden = scaled(random_reading(np.random.default_rng(0)), "setting", 0.0)
    assert hidden["setting"][NOT_VISIBLE] == 1.0
