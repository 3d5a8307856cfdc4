from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.schema import SCHEMA, Group
from matching.explain import (
    Explanation,
    Scored,
    Source,
    Wish,
    explanations,
    wishes,
)
from matching.features import (
    VISUAL_WIDTH,
    WIDTH,
    FeatureSpace,
    Sighting,
    pack,
    person_features,
    photo_features,
    photo_matrix,
    unpack,
)
from matching.messages import Message
from matching.population import neutral_space
from matching.preference import (
    METHODS,
    BayesianPreference,
    LinearPreference,
    PlainPreference,
    Prior,
    fit,
    relevance,
    sigmoid,
)
from matching.wording import sentence, understood
from tests.matching.readings import random_sighting, random_space, reading, sighting

SEEDS = st.integers(0, 2**32 - 1)
LABELS = st.lists(st.booleans(), min_size=1, max_size=10)


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return neutral_space(model="test")


def learn(
    space: FeatureSpace, *, liked: list[Sighting], disliked: list[Sighting]
) -> BayesianPreference:
    labels = [True] * len(liked) + [False] * len(disliked)
    return relevance.fit(photo_matrix(space, [*liked, *disliked]), liked=labels)


def explain(
    space: FeatureSpace, taste: LinearPreference, *photos: Sighting
) -> Explanation:
    person = Scored(person_features(space, photos))
    return explanations(space, [person], preference=taste)[0]


def say(space: FeatureSpace, taste: LinearPreference, *photos: Sighting) -> str:
    return sentence(explain(space, taste, *photos))


DOCUMENT = Path(__file__).parents[2] / "docs" / "ranking.md"


@given(seed=SEEDS, labels=LABELS, plain=st.booleans(), slider=st.floats(0, 3))
def test_the_addends_sum_to_the_score(
    seed: int, labels: list[bool], slider: float, *, plain: bool
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    prior = Prior(
        rng.normal(size=WIDTH) / 9, rng.uniform(0.1, 1, WIDTH), intercept=-1.0
    )
    learned: LinearPreference = (
        PlainPreference.fit(photos, liked=labels)
        if plain
        else BayesianPreference.fit(photos, liked=labels, prior=prior)
    )
    taste = learned.weighted({"style": slider, "visual": slider})
    person = person_features(space, [random_sighting(rng) for _ in range(3)])
    stored = unpack(pack(space, person))
    (explained,) = explanations(
        space, [Scored(stored, {"recency": 0.25})], preference=taste
    )
    score = taste.score(stored[None])[0] + 0.25
    assert explained.score == pytest.approx(score, abs=1e-6)


@given(seed=SEEDS, labels=LABELS)
def test_a_reason_is_the_sum_of_its_attributes_addends(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    taste = BayesianPreference.fit(
        photo_matrix(space, [random_sighting(rng) for _ in labels]), liked=labels
    )
    explained = explain(space, taste, random_sighting(rng))
    for reason in explained.reasons:
        addends = [a.amount for a in explained.addends() if a.name == reason.name]
        assert reason.amount == pytest.approx(sum(addends), abs=1e-9)


@given(seed=SEEDS, labels=LABELS)
def test_it_never_claims_a_likeness_against_its_addends(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    examples = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(examples, liked=labels)
    explained = explain(space, taste, random_sighting(rng))
    for reason in explained.reasons:
        raises = reason.message in (Message.LIKE_LIKED, Message.UNLIKE_DISLIKED)
        assert raises == (reason.amount > 0)
        of_liked = reason.message in (Message.LIKE_LIKED, Message.UNLIKE_LIKED)
        given = labels.count(of_liked)
        assert reason.photos
        assert all(1 <= photo <= given for photo in reason.photos)


@given(seed=SEEDS, labels=LABELS)
def test_the_groups_sum_to_the_score(seed: int, labels: list[bool]) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels)
    person = person_features(space, [random_sighting(rng)])
    stages = {"recency": 0.25, "exposure": -0.5}
    (explained,) = explanations(space, [Scored(person, stages)], preference=taste)
    assert list(explained.groups) == [
        *("prior", "visual", *Group, "recency", "exposure"),
    ]
    total = sum(explained.groups.values())
    assert total == pytest.approx(explained.score, abs=1e-9)


def test_every_addend_names_the_photos_that_bring_it(space: FeatureSpace) -> None:
    liked = [sighting(setting="gym"), sighting(eyewear="glasses")]
    disliked = [sighting(setting="home"), sighting(setting="office")]
    taste = learn(space, liked=liked, disliked=disliked)
    explained = explain(space, taste, sighting(setting="gym", eyewear="glasses"))
    addends = {(a.name, a.value): a for a in explained.addends()}
    assert addends["setting", "gym"].liked == (1,)
    assert addends["setting", "gym"].disliked == ()
    assert addends["eyewear", "glasses"].liked == (2,)
    # Not to be at home speaks for somebody by the photo that was disliked for it.
    assert addends["setting", "home"].disliked == (1,)
    prior = addends["prior", None]
    assert (prior.liked, prior.disliked) == ((), ())


@given(seed=SEEDS, labels=LABELS)
def test_an_addend_that_is_something_names_a_photo_that_was_given(
    seed: int, labels: list[bool]
) -> None:
    rng = np.random.default_rng(seed)
    space = random_space(seed)
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels)
    for addend in explain(space, taste, random_sighting(rng)).addends()[1:]:
        assert bool(addend.liked or addend.disliked) == (addend.amount != 0)
        assert set(addend.liked) <= set(range(1, labels.count(True) + 1))
        assert set(addend.disliked) <= set(range(1, labels.count(False) + 1))


@pytest.mark.parametrize("name", METHODS)
def test_a_page_is_explained_as_each_of_its_people_is(
    space: FeatureSpace, name: str
) -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(20) % 3 > 0
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = fit(name, photos, liked=labels)
    people = [
        Scored(person_features(space, [random_sighting(rng)]), {"recency": 0.1 * i})
        for i in range(5)
    ]
    page = explanations(space, people, preference=taste)
    for one, explained in zip(people, page, strict=True):
        score = taste.score(one.features[None])[0] + one.stages["recency"]
        assert explained.score == pytest.approx(score, abs=1e-6)
        total = sum(addend.amount for addend in explained.addends())
        assert total == pytest.approx(score, abs=1e-6)
        (alone,) = explanations(space, [one], preference=taste)
        assert [(r.name, r.value, r.photos) for r in explained.reasons] == [
            (r.name, r.value, r.photos) for r in alone.reasons
        ]
    assert explanations(space, [], preference=taste) == []


def test_what_brings_half_of_the_strongest_is_named_of_however_many(
    space: FeatureSpace,
) -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(70) % 3 > 0
    photos = photo_matrix(space, [random_sighting(rng) for _ in labels])
    taste = BayesianPreference.fit(photos, liked=labels)
    explained = explain(space, taste, random_sighting(rng))
    likenesses = explained.addends()[1:]
    assert len({(a.liked, a.disliked) for a in likenesses}) > 20
    for shares, addend in zip(explained.shares.T, likenesses, strict=True):
        toward = shares if addend.amount > 0 else -shares
        named = (toward >= toward.max() / 2) & (toward > 0)
        for side, said in ((labels, addend.liked), (~labels, addend.disliked)):
            assert [i - 1 for i in said] == np.flatnonzero(named[side]).tolist()


def test_only_addends_of_at_least_so_much_can_be_asked_for(
    space: FeatureSpace,
) -> None:
    rng = np.random.default_rng(3)
    taste = learn(space, liked=[random_sighting(rng)] * 3, disliked=[])
    explained = explain(space, taste, random_sighting(rng))
    everything = explained.addends()
    strong = explained.addends(0.01)
    assert 0 < len(strong) < len(everything)
    assert strong == [a for a in everything if abs(a.amount) >= 0.01]


def test_nothing_names_examples_that_are_no_photos(space: FeatureSpace) -> None:
    rng = np.random.default_rng(4)
    one, other = random_sighting(rng), random_sighting(rng)
    taste = learn(space, liked=[one], disliked=[other])
    person = Scored(person_features(space, [one]))
    (told,) = explanations(space, [person], preference=taste, by_photos=False)
    (named,) = explanations(space, [person], preference=taste)
    assert [replace(r, photos=()) for r in named.reasons] == list(told.reasons)
    assert any(a.liked or a.disliked for a in named.addends())
    assert not any(a.liked or a.disliked for a in told.addends())


def test_the_prior_is_its_own_addend_and_credited_to_no_photo(
    space: FeatureSpace,
) -> None:
    rng = np.random.default_rng(0)
    prior = Prior(rng.normal(size=WIDTH), np.full(WIDTH, 1e-12), intercept=-1.0)
    photos = photo_matrix(space, [sighting(setting="gym")])
    taste = BayesianPreference.fit(photos, liked=[True], prior=prior)
    explained = explain(space, taste, sighting(setting="gym"))
    by_source = {a.source: a.amount for a in explained.addends()}
    assert by_source[Source.PRIOR] == pytest.approx(explained.score)
    assert explained.reasons == ()
    assert sentence(explained) == "No clear likeness to the photos you like."


def test_every_value_has_its_addend(space: FeatureSpace) -> None:
    taste = learn(space, liked=[sighting(setting="gym")], disliked=[])
    explained = explain(space, taste, sighting(setting="gym"))
    named = [(a.name, a.value) for a in explained.addends() if a.value]
    assert named == [(a.name, v) for a in SCHEMA for v in a.values]


# The plan's own example.


@pytest.fixture
def gym_lover(space: FeatureSpace) -> BayesianPreference:
    """Four of five liked photos are in a gym, no disliked one; all else is equal."""
    same = {"hair_color": "dark_brown", "eyewear": "none", "expression": "smile"}
    settings = ["gym", "gym", "home", "gym", "gym"]
    liked = [sighting(setting=value, **same) for value in settings]
    disliked = [sighting(setting="home", **same) for _ in range(5)]
    return learn(space, liked=liked, disliked=disliked)


def test_four_of_five_liked_in_a_gym_make_gym_the_strongest_wish(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    found = wishes(space, preference=gym_lover)
    strongest, runner_up = found[0], found[1]
    assert (strongest.name, strongest.value) == ("setting", "gym")
    assert (strongest.liked, strongest.disliked) == (4, 0)
    assert strongest.weight > 2 * runner_up.weight


def test_the_sentence_says_gym_and_which_photos(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    said = understood(wishes(space, preference=gym_lover))
    assert said.startswith("You seem to like setting gym (in 4 liked and 0 disliked).")
    found = say(space, gym_lover, sighting(setting="gym"), sighting(setting="gym"))
    assert found == "Similar setting (gym), like photos 1, 2, 4 and 5."


def test_the_worked_example_of_the_documentation_is_what_is_computed(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    text = DOCUMENT.read_text()
    weights = {w.value: w.weight for w in wishes(space, preference=gym_lover)}
    for value in ("gym", "home", "cafe"):
        photos = [sighting(setting=value)] * 2
        explained = explain(space, gym_lover, *photos)
        match = sigmoid(np.array(explained.score))
        row = f"| {value} | {weights[value]:.2f} | {explained.score:.2f} | {match:.2f}"
        assert row in text
        assert sentence(explained) in text
    assert understood(wishes(space, preference=gym_lover)) in text


def test_somebody_elsewhere_is_not_said_to_be_similar(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    said = say(space, gym_lover, sighting(setting="home"), sighting(setting="home"))
    assert said == (
        "No clear likeness to the photos you like; less so: setting (home)."
    )


def test_the_plain_formula_explains_itself_too(space: FeatureSpace) -> None:
    photos = photo_matrix(space, [sighting(setting=s) for s in ("gym", "gym", "home")])
    taste = PlainPreference.fit(photos, liked=[True, True, False])
    assert wishes(space, preference=taste)[0].value == "gym"
    said = say(space, taste, sighting(setting="gym"))
    assert said == "Similar setting (gym), like photos 1 and 2."


# What the sentences say, and do not.


def test_reasons_from_the_same_photos_share_a_clause(space: FeatureSpace) -> None:
    liked = [
        sighting(setting="gym", hair_color="red"),
        sighting(),
        sighting(setting="gym", hair_color="red"),
    ]
    taste = learn(space, liked=liked, disliked=[sighting(eyewear="glasses")])
    wanted = {"setting": "gym", "hair_color": "red"}
    photos = [sighting(eyewear="glasses", **wanted)] * 2
    assert say(space, taste, *photos) == (
        "Similar setting (gym) and hair colour (red), like photos 1 and 3;"
        " less so: eyewear (glasses)."
    )


def test_reasons_from_different_photos_are_kept_apart(space: FeatureSpace) -> None:
    liked = [sighting(setting="gym"), sighting(hair_color="red")]
    taste = learn(space, liked=liked, disliked=[sighting(shot_type="group")])
    said = say(space, taste, sighting(setting="gym", hair_color="red"))
    assert "setting (gym), like photo 1" in said
    assert "hair colour (red), like photo 2" in said


def test_only_photos_that_show_the_named_value_are_named(
    space: FeatureSpace,
) -> None:
    liked = [
        sighting(clothing_items={"jeans": 1.0}),
        sighting(clothing_items={"dress": 1.0}),
        sighting(clothing_items={"dress": 1.0}),
    ]
    taste = learn(space, liked=liked, disliked=[])
    said = say(space, taste, sighting(clothing_items={"dress": 1.0, "jeans": 1.0}))
    assert said == "Similar clothing items (dress), like photos 2 and 3."


def test_lacking_what_was_disliked_is_not_called_a_likeness(
    space: FeatureSpace,
) -> None:
    taste = learn(space, liked=[], disliked=[sighting(eyewear="glasses")] * 2)
    said = say(space, taste, sighting(eyewear="none"), sighting(eyewear="none"))
    assert said == "Different eyewear (not glasses) from disliked photos 1 and 2."


def test_lacking_what_was_liked_lowers(space: FeatureSpace) -> None:
    taste = learn(space, liked=[sighting(eyewear="glasses")] * 5, disliked=[])
    (reason,) = explain(space, taste, sighting(eyewear="none")).reasons
    assert reason.message is Message.UNLIKE_LIKED
    assert reason.amount < 0


def test_lacking_nothing_is_not_said_as_a_double_negative(
    space: FeatureSpace,
) -> None:
    taste = learn(space, liked=[sighting(eyewear="none")] * 5, disliked=[])
    said = say(space, taste, sighting(eyewear="glasses"))
    assert said == "No clear likeness to the photos you like; less so: eyewear."


def test_a_doubtful_value_is_not_named(space: FeatureSpace) -> None:
    taste = learn(space, liked=[sighting(tattoos="many")] * 5, disliked=[])
    doubtful = Sighting(reading(tattoos={"none": 0.25, "some": 0.2, "many": 0.55}))
    said = say(space, taste, doubtful, doubtful)
    assert said == "Similar tattoos, like photos 1, 2, 3, 4 and 5."


def test_what_hardly_matters_is_not_said(space: FeatureSpace) -> None:
    weak = sighting(setting={"gym": 0.05})
    taste = learn(space, liked=[weak], disliked=[])
    assert explain(space, taste, weak).reasons == ()


def test_a_likeness_of_the_whole_look_is_said(space: FeatureSpace) -> None:
    embedding = np.eye(VISUAL_WIDTH)[0]
    taste = learn(space, liked=[Sighting(reading(), embedding)], disliked=[])
    alike = Sighting(reading(), embedding)
    assert say(space, taste, alike) == "Similar overall look, like photo 1."


def test_photos_are_counted_among_the_liked_even_when_mixed(
    space: FeatureSpace,
) -> None:
    photos = [
        sighting(eyewear="glasses"),
        sighting(setting="gym"),
        sighting(eyewear="sunglasses"),
        sighting(hair_color="red"),
    ]
    taste = BayesianPreference.fit(
        photo_matrix(space, photos), liked=[False, True, False, True]
    )
    said = say(space, taste, sighting(hair_color="red"))
    assert said == "Similar hair colour (red), like photo 2."


def test_stages_are_addends_of_their_own(space: FeatureSpace) -> None:
    taste = learn(space, liked=[sighting(setting="gym")], disliked=[])
    features = photo_features(space, sighting(setting="gym"))
    person = Scored(features, {"recency": -0.5})
    (explained,) = explanations(space, [person], preference=taste)
    stages = {a.name: a.amount for a in explained.addends() if a.source is Source.STAGE}
    assert stages == {"recency": -0.5}


def test_an_importance_of_zero_leaves_no_wish(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    muted = gym_lover.weighted({"setting": 0.0})
    assert not any(w.weight for w in of(wishes(space, preference=muted), "setting"))
    assert "setting" not in say(space, muted, sighting(setting="gym"))


def test_wishes_and_aversions_are_told_apart(space: FeatureSpace) -> None:
    taste = learn(
        space,
        liked=[sighting(eyewear="none")] * 3,
        disliked=[sighting(eyewear="glasses")] * 3,
    )
    found = wishes(space, preference=taste)
    assert (found[0].value, found[-1].value) == ("none", "glasses")
    assert understood(found) == (
        "You seem to like eyewear none (in 3 liked and 0 disliked)."
        " You seem to avoid eyewear glasses (in 0 liked and 3 disliked)."
    )


def test_a_weak_wish_is_not_said_beside_a_strong_one(space: FeatureSpace) -> None:
    gym, home = sighting(setting="gym"), sighting(setting="home")
    hat = sighting(setting="gym", headwear="hat")
    taste = learn(space, liked=[hat, *[gym] * 4], disliked=[home] * 5)
    found = wishes(space, preference=taste)
    assert next(w for w in found if w.value == "hat").weight > 0.02
    assert "hat" not in understood(found)


def test_photos_that_agree_on_nothing_are_said_to(space: FeatureSpace) -> None:
    taste = learn(space, liked=[sighting()], disliked=[sighting()])
    found = wishes(space, preference=taste)
    assert understood(found) == "Your photos agree on nothing in particular."


def of(found: list[Wish], name: str) -> list[Wish]:
    return [wish for wish in found if wish.name == name]
