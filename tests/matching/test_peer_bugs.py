"""How the first public attempt at this product ranks wrongly, and loses what it reads.

Bugs 1 to 6 and 13 were seen to happen there, and must not happen here. The others need
a database: tests/test_peer_bugs.py.
"""

from collections.abc import Mapping

import numpy as np
import pytest

from annotation.schema import problems, unseen_attributes
from matching.explain import wishes
from matching.features import (
    FeatureSpace,
    Sighting,
    person_features,
    photo_matrix,
    value_weights,
)
from matching.population import neutral_space
from matching.preference import BayesianPreference, LinearPreference, PlainPreference
from tests.matching.readings import random_sighting, sighting

KINDS = pytest.mark.parametrize("kind", [BayesianPreference, PlainPreference])
Kind = type[BayesianPreference] | type[PlainPreference]

BLONDE = {"hair_color": "blonde", "hair_length": "long", "tattoos": "none"}
RED_TATTOOED = {"hair_color": "red", "hair_length": "short", "tattoos": "many"}
BLACK = {"hair_color": "black", "hair_length": "long", "tattoos": "none"}


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return neutral_space(model="test")


def learn(
    space: FeatureSpace,
    kind: Kind,
    *,
    liked: list[Sighting],
    disliked: list[Sighting],
) -> LinearPreference:
    photos = photo_matrix(space, [*liked, *disliked])
    return kind.fit(photos, liked=[True] * len(liked) + [False] * len(disliked))


def score(space: FeatureSpace, taste: LinearPreference, photo: Sighting) -> float:
    return float(taste.score(person_features(space, [photo])[None])[0])


def dimmed(shown: Mapping[str, str], *, confidence: float) -> Sighting:
    """The same values, each seen only so surely; the rest is not visible."""
    return sighting(**{name: {value: confidence} for name, value in shown.items()})


@KINDS
def test_bug_1_an_attribute_seen_only_in_a_disliked_photo_is_not_the_wish(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(
        space,
        kind,
        liked=[sighting(hair_color="blonde")] * 5,
        disliked=[sighting(tattoos="many")],
    )
    by_value = {w.value: w.weight for w in wishes(space, preference=taste)}
    assert by_value["many"] < 0
    tattooed = score(space, taste, sighting(tattoos="many"))
    assert tattooed < score(space, taste, sighting())


@KINDS
def test_bug_1_a_value_outvoted_by_dislikes_is_not_the_wish(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(
        space,
        kind,
        liked=[sighting(hair_color={"black": 0.5}), sighting(setting="gym")],
        disliked=[sighting(hair_color={"black": 0.9})] * 2,
    )
    by_value = {w.value: w.weight for w in wishes(space, preference=taste)}
    assert by_value["black"] < 0


@KINDS
def test_bug_2_disliked_photos_change_the_taste(
    space: FeatureSpace, kind: Kind
) -> None:
    liked, disliked = [sighting(**BLONDE)] * 5, [sighting(**RED_TATTOOED)] * 5
    with_dislikes = learn(space, kind, liked=liked, disliked=disliked)
    without = learn(space, kind, liked=liked, disliked=[])
    assert not np.allclose(with_dislikes.weights, without.weights)


@KINDS
def test_bug_2_the_exact_dislike_ranks_below_somebody_merely_different(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(
        space,
        kind,
        liked=[sighting(**BLONDE)] * 5,
        disliked=[sighting(**RED_TATTOOED)] * 5,
    )
    disliked = score(space, taste, sighting(**RED_TATTOOED))
    assert disliked < score(space, taste, sighting(**BLACK))


@KINDS
def test_bug_3_a_sparse_profile_does_not_outrank_a_full_match(
    space: FeatureSpace, kind: Kind
) -> None:
    wanted = {**BLONDE, "eyewear": "none", "expression": "smile", "setting": "beach"}
    taste = learn(space, kind, liked=[sighting(**wanted)] * 5, disliked=[])
    full = score(space, taste, dimmed(wanted, confidence=0.95))
    for name, value in wanted.items():
        assert score(space, taste, dimmed({name: value}, confidence=0.99)) < full


@KINDS
def test_bug_4_doubtful_but_right_ranks_above_sure_but_wrong(
    space: FeatureSpace, kind: Kind
) -> None:
    wanted = {**BLONDE, "eye_color": "blue", "eyewear": "none"}
    wrong = {**wanted, "hair_color": "black", "eye_color": "brown", "tattoos": "many"}
    taste = learn(space, kind, liked=[sighting(**wanted)] * 5, disliked=[])
    doubtful = score(space, taste, dimmed(wanted, confidence=0.5))
    assert doubtful > score(space, taste, dimmed(wrong, confidence=0.95))


@KINDS
def test_bug_4_being_surer_of_a_match_never_lowers_it(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(space, kind, liked=[sighting(**BLONDE)] * 5, disliked=[])
    scores = [
        score(space, taste, dimmed(BLONDE, confidence=c)) for c in (0, 0.3, 0.6, 1)
    ]
    assert scores == sorted(scores)
    assert scores[0] == taste.prior.intercept


@KINDS
def test_bug_5_a_taste_for_two_hair_colours_finds_both(
    space: FeatureSpace, kind: Kind
) -> None:
    hair = ["black"] * 3 + ["blonde"] * 2
    taste = learn(
        space, kind, liked=[sighting(hair_color=c) for c in hair], disliked=[]
    )
    by_colour = {
        colour: score(space, taste, sighting(hair_color=colour))
        for colour in ("black", "blonde", "grey", "dyed", "bald")
    }
    found = sorted(by_colour, key=by_colour.__getitem__, reverse=True)
    assert found[:2] == ["black", "blonde"]
    assert by_colour["blonde"] > 0 > by_colour["bald"]


@KINDS
def test_bug_6_what_likes_and_dislikes_share_is_not_held_against_anybody(
    space: FeatureSpace, kind: Kind
) -> None:
    shared = {"shot_type": "closeup", "setting": "studio"}
    liked = [sighting(hair_color="blonde", **shared)] * 5
    disliked = [sighting(hair_color="red", **shared)] * 5
    taste = learn(space, kind, liked=liked, disliked=disliked)
    weights = value_weights(space, taste.weights)
    blonde = score(space, taste, sighting(hair_color="blonde"))
    perfect = score(space, taste, sighting(hair_color="blonde", **shared))
    assert perfect >= blonde - 1e-6
    assert np.abs(weights).max() > 0


@KINDS
def test_bug_6_bad_matches_are_still_told_apart(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(space, kind, liked=[], disliked=[sighting(**RED_TATTOOED)] * 5)
    rng = np.random.default_rng(0)
    scores = [score(space, taste, random_sighting(rng)) for _ in range(50)]
    assert min(scores) < 0
    assert len(set(scores)) == 50


def test_bug_13_an_attribute_in_the_wrong_place_is_refused_and_not_dropped() -> None:
    reading: dict[str, dict[str, float]] = unseen_attributes()
    beard = reading.pop("facial_hair")
    reading["face.facial_hair"] = beard
    assert problems(reading) == [
        "unknown attribute face.facial_hair",
        "facial_hair is missing",
    ]


@KINDS
def test_bug_13_what_no_photo_shows_is_no_wish_for_none(
    space: FeatureSpace, kind: Kind
) -> None:
    taste = learn(space, kind, liked=[sighting(hair_color="blonde")] * 5, disliked=[])
    weights = {w.name: w.weight for w in wishes(space, preference=taste)}
    assert weights["hair_color"]
    assert not weights.get("facial_hair")
    unseen = score(space, taste, sighting())
    assert score(space, taste, sighting(facial_hair="none")) == pytest.approx(unseen)
