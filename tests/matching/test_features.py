import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.schema import BY_NAME, SCHEMA, problems
from matching.features import (
    BLOCKS,
    STORED_WIDTH,
    VALUE_SLICES,
    VISUAL,
    VISUAL_WIDTH,
    WIDTH,
    FeatureSpace,
    Sighting,
    pack,
    pack_query,
    person_features,
    person_presence,
    photo_features,
    photo_matrix,
    presence,
    probabilities,
    unpack,
    value_weights,
)
from matching.population import RADIUS_MARGIN, fit_space, neutral_space
from matching.similarity import table
from tests.matching.readings import (
    random_reading,
    random_sighting,
    random_space,
    reading,
    sighting,
)

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def population() -> list[Sighting]:
    rng = np.random.default_rng(7)
    return [random_sighting(rng) for _ in range(400)]


@pytest.fixture(scope="module")
def space(population: list[Sighting]) -> FeatureSpace:
    return fit_space(population, model="random")


def test_random_readings_obey_the_schema() -> None:
    rng = np.random.default_rng(0)
    assert not any(problems(random_reading(rng)) for _ in range(50))
    assert not problems(reading(setting="gym", objects={"dog": 0.9}))


def test_a_photo_is_644_numbers_in_21_blocks(space: FeatureSpace) -> None:
    assert WIDTH == 644
    assert [*BLOCKS] == [VISUAL, *(a.name for a in SCHEMA)]
    assert sum(block.stop - block.start for block in BLOCKS.values()) == WIDTH
    assert photo_features(space, sighting(setting="gym")).shape == (WIDTH,)


def test_what_is_not_seen_adds_exactly_nothing(space: FeatureSpace) -> None:
    features = photo_features(space, sighting(setting="gym"))
    setting = BLOCKS["setting"]
    assert np.abs(features[setting]).max() > 0.1
    assert not np.delete(features, np.r_[setting]).any()


def test_every_seen_attribute_has_mean_square_one(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    _, seen = probabilities(s.attributes for s in population)
    square = photo_matrix(space, population) ** 2
    for column, attribute in enumerate(SCHEMA):
        total = square[:, BLOCKS[attribute.name]].sum()
        assert total / seen[:, column].sum() == pytest.approx(1, abs=0.02)


def test_the_visual_part_has_mean_square_one(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    with_embedding = [s for s in population if s.embedding is not None]
    visual = photo_matrix(space, with_embedding)[:, BLOCKS[VISUAL]]
    assert (visual**2).sum(axis=1).mean() == pytest.approx(1)
    assert np.abs(visual.mean(axis=0)).max() < 1e-12


def test_the_inner_product_is_the_fuzzy_match_above_chance(
    space: FeatureSpace,
) -> None:
    rng = np.random.default_rng(3)
    one, other = random_reading(rng), random_reading(rng)
    x, y = photo_matrix(space, [Sighting(one), Sighting(other)])
    p, seen = probabilities([one, other])
    expected = 0.0
    for index, (name, values) in enumerate(VALUE_SLICES.items()):
        above = p[:, values] - seen[:, index, None] * space.mean[values]
        match = above[0] @ table(BY_NAME[name]) @ above[1]
        expected += match / space.scale[index] ** 2
    assert x @ y == pytest.approx(expected)


def test_light_brown_hair_matches_blonde_better_than_black(
    space: FeatureSpace,
) -> None:
    hair = [sighting(hair_color=c) for c in ("light_brown", "blonde", "black")]
    light_brown, blonde, black = photo_matrix(space, hair)
    assert light_brown @ blonde > light_brown @ black


@given(seed=SEEDS)
def test_presence_is_recovered_from_the_features(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space, photo = random_space(seed), random_sighting(rng)
    p, seen = probabilities([photo.attributes])
    sizes = [len(a.values) for a in SCHEMA]
    expected = p[0] - np.repeat(seen[0], sizes) * space.mean
    recovered = presence(space, photo_features(space, photo))
    assert np.allclose(recovered, expected, atol=1e-12)


@given(seed=SEEDS)
def test_the_addends_of_the_values_sum_to_the_inner_product(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space, photo = random_space(seed), random_sighting(rng)
    weights, features = rng.normal(size=WIDTH), photo_features(space, photo)
    addends = presence(space, features) * value_weights(space, weights)
    attributes = features[VISUAL_WIDTH:] @ weights[VISUAL_WIDTH:]
    assert addends.sum() == pytest.approx(attributes)


def test_a_person_is_the_mean_of_their_photos_shrunk_by_what_is_unknown(
    space: FeatureSpace,
) -> None:
    gym, beach = sighting(setting="gym"), sighting(setting="beach")
    photos = photo_matrix(space, [gym, beach])
    person = person_features(space, [gym, beach])
    assert person == pytest.approx(photos.sum(axis=0) / (2 + space.shrinkage))


def test_a_half_seen_photo_counts_half(space: FeatureSpace) -> None:
    clear, dim = sighting(setting="gym"), sighting(setting={"beach": 0.5})
    person = person_features(space, [clear, dim])
    p = np.zeros(len(BY_NAME["setting"].values))
    p[BY_NAME["setting"].values.index("gym")] = 1.0
    p[BY_NAME["setting"].values.index("beach")] = 0.5
    known = 1.5 + space.shrinkage
    expected = (p - 1.5 * space.mean[VALUE_SLICES["setting"]]) / known
    assert presence(space, person)[VALUE_SLICES["setting"]] == pytest.approx(expected)


def test_more_photos_of_the_same_tell_more(space: FeatureSpace) -> None:
    photo = sighting(setting="gym")
    norms = [
        np.linalg.norm(person_features(space, [photo] * count)) for count in (1, 2, 5)
    ]
    assert norms[0] < norms[1] < norms[2]
    assert norms[2] < np.linalg.norm(photo_features(space, photo))


def test_a_person_without_photos_is_the_average_person(space: FeatureSpace) -> None:
    assert not person_features(space, []).any()


def test_a_taste_for_two_hair_colours_keeps_both(space: FeatureSpace) -> None:
    photos = [sighting(hair_color=c) for c in ["black"] * 3 + ["blonde"] * 2]
    shown = presence(space, person_features(space, photos))[VALUE_SLICES["hair_color"]]
    values = BY_NAME["hair_color"].values
    positive = {value for value, x in zip(values, shown, strict=True) if x > 0}
    assert positive == {"black", "blonde"}


def test_a_stored_vector_has_the_norm_of_its_space(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    for photo in population[:20]:
        stored = pack(space, photo_features(space, photo))
        assert stored.shape == (STORED_WIDTH,)
        norm = np.linalg.norm(stored.astype(np.float64))
        assert norm == pytest.approx(space.radius, rel=1e-3)


def test_a_vector_longer_than_the_radius_keeps_its_features(
    space: FeatureSpace,
) -> None:
    long = np.full(WIDTH, space.radius)
    stored = pack(space, long)
    assert stored[WIDTH] == 0
    assert unpack(stored) == pytest.approx(long, rel=1e-3)


def test_packing_twice_changes_nothing(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    stored = pack(space, person_features(space, population[:3]))
    assert (pack(space, unpack(stored)) == stored).all()


def test_a_query_scores_stored_vectors_as_their_features(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    weights = np.random.default_rng(1).normal(size=WIDTH).astype(np.float16)
    stored = pack(space, photo_features(space, population[0]))
    query = pack_query(weights.astype(np.float64))
    by_index = query.astype(np.float64) @ stored.astype(np.float64)
    assert by_index == pytest.approx(weights.astype(np.float64) @ unpack(stored))


def test_a_space_survives_json_bitwise(space: FeatureSpace) -> None:
    again = FeatureSpace.from_dict(json.loads(json.dumps(space.to_dict())))
    assert again.version == space.version
    assert (again.basis == space.basis).all()
    assert (again.visual_mean == space.visual_mean).all()


def test_a_space_of_another_schema_is_refused(space: FeatureSpace) -> None:
    with pytest.raises(ValueError, match="fit a new one"):
        FeatureSpace.from_dict({**space.to_dict(), "schema_version": "s-older"})


def test_spaces_of_other_content_have_other_names(space: FeatureSpace) -> None:
    assert neutral_space(model="a").version != neutral_space(model="b").version
    assert space.version != neutral_space(model="random").version


def test_a_platform_without_photos_has_the_neutral_space() -> None:
    assert fit_space([], model="m").version == neutral_space(model="m").version


def test_an_attribute_never_seen_keeps_its_neutral_frame() -> None:
    fitted = fit_space([sighting(setting="gym")] * 9, model="m")
    neutral = neutral_space(model="m")
    hair, index = VALUE_SLICES["hair_color"], 0
    assert fitted.mean[hair] == pytest.approx(neutral.mean[hair])
    assert fitted.scale[index] == pytest.approx(neutral.scale[index])


def test_an_attribute_all_agree_on_is_not_stretched_without_bound() -> None:
    fitted = fit_space([sighting(setting="gym")] * 5000, model="m")
    beach = photo_features(fitted, sighting(setting="beach"))
    unfitted = photo_features(neutral_space(model="m"), sighting(setting="beach"))
    assert np.linalg.norm(beach) < 8 * np.linalg.norm(unfitted)


def test_the_radius_leaves_room_for_longer_photos(
    space: FeatureSpace, population: list[Sighting]
) -> None:
    longest = np.linalg.norm(photo_matrix(space, population), axis=1).max()
    assert space.radius >= RADIUS_MARGIN * longest


def test_one_embedding_alone_does_not_become_the_mean() -> None:
    photo = Sighting(reading(), np.eye(VISUAL_WIDTH)[0])
    space = fit_space([photo], model="m")
    assert not space.visual_mean.any()


def test_presence_of_exclusive_values_is_weighted_by_visibility() -> None:
    known = person_presence(
        [reading(eyewear="glasses"), reading(eyewear={"none": 0.5})]
    )
    assert known["eyewear.glasses"] == pytest.approx(1 / 1.5)
    assert known["eyewear.none"] == pytest.approx(0.5 / 1.5)


def test_presence_of_independent_values_is_the_highest() -> None:
    known = person_presence(
        [reading(objects={"dog": 0.9, "cat": 0.2}), reading(objects={"cat": 0.3})]
    )
    assert known["objects.dog"] == pytest.approx(0.9)
    assert known["objects.cat"] == pytest.approx(0.3)


def test_presence_of_what_is_hardly_seen_is_unknown() -> None:
    known = person_presence([reading(eyewear={"glasses": 0.2}, setting="gym")])
    assert not any(name.startswith("eyewear") for name in known)
    assert known["setting.gym"] == 1.0
    assert not person_presence([])
