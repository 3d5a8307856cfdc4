from collections.abc import Sequence

import numpy as np
import pytest

from matching.features import WIDTH, FloatArray
from matching.preference import BayesianPreference
from matching.ranking.base import Candidate, rank
from matching.ranking.reciprocity import Reciprocity
from tests.matching.ranking.people import names, person, zeros


@pytest.fixture
def taste() -> BayesianPreference:
    """Likes the first feature, and nothing else."""
    return BayesianPreference.fit(np.eye(1, WIDTH), liked=[True])


def people(**first_features: float) -> list[Candidate]:
    return [person(name, amount) for name, amount in first_features.items()]


def test_the_most_liked_come_first(taste: BayesianPreference) -> None:
    ranked = rank(people(ann=0.1, bob=2.0, cy=-1.0), preference=taste)
    assert names(ranked) == ["bob", "ann", "cy"]
    assert ranked[0].score > ranked[1].score > 0 > ranked[2].score


def test_equal_people_are_ordered_by_id(taste: BayesianPreference) -> None:
    forward = rank(people(cy=1.0, ann=1.0, bob=1.0), preference=taste)
    backward = rank(people(bob=1.0, ann=1.0, cy=1.0), preference=taste)
    assert names(forward) == names(backward) == ["ann", "bob", "cy"]


def test_nobody_ranks_as_nobody(taste: BayesianPreference) -> None:
    assert rank([], preference=taste) == []


def test_the_match_score_is_the_probability_of_a_like(
    taste: BayesianPreference,
) -> None:
    (ranked,) = rank(people(ann=0.0), preference=taste)
    assert ranked.match_score == 0.5


def newcomers_first(candidates: Sequence[Candidate], _: FloatArray) -> FloatArray:
    return np.array([5.0 if c.id.startswith("new") else 0.0 for c in candidates])


def halve(_: Sequence[Candidate], scores: FloatArray) -> FloatArray:
    return -scores / 2


def test_a_stage_adds_to_the_score_but_not_to_the_match_score(
    taste: BayesianPreference,
) -> None:
    candidates = people(ann=1.0, new_bob=0.0)
    ranked = rank(candidates, preference=taste, stages={"boost": newcomers_first})
    assert names(ranked) == ["new_bob", "ann"]
    assert ranked[0].stages == {"boost": 5.0}
    assert ranked[0].score == ranked[0].preference + 5.0
    assert ranked[0].match_score == 0.5


def test_a_stage_sees_what_the_stages_before_made(taste: BayesianPreference) -> None:
    stages = {"boost": newcomers_first, "halve": halve}
    (ranked,) = rank(people(new_bob=0.0), preference=taste, stages=stages)
    assert ranked.stages == {"boost": 5.0, "halve": -2.5}
    assert ranked.score == 2.5


def test_a_calibrated_match_score_is_made_of_the_preference_and_moves_nobody(
    taste: BayesianPreference,
) -> None:
    ranked = rank(
        people(ann=1.0, new_bob=0.0),
        preference=taste,
        stages={"boost": newcomers_first},
        calibrate=lambda log_odds: np.where(log_odds > 0, 0.25, 0.125),
    )
    assert names(ranked) == ["new_bob", "ann"]
    assert [r.match_score for r in ranked] == [0.125, 0.25]


def test_what_all_gain_alike_is_no_reason_for_anybody(
    taste: BayesianPreference,
) -> None:
    everybody = people(ann=1.0, bob=0.5, cy=0.0, new_dee=0.0)
    alike = rank(
        everybody, preference=taste, stages={"active": lambda c, _: zeros(c) + 1}
    )
    assert [one.unsaid for one in alike] == [{"active"}] * 4
    ranked = rank(everybody, preference=taste, stages={"boost": newcomers_first})
    assert [one.unsaid for one in ranked] == [set(), *[{"boost"}] * 3]


def test_nobody_is_said_to_like_back_of_whom_it_is_not_known(
    taste: BayesianPreference,
) -> None:
    known = [person("ann", liked_back=3.0), person("bob", liked_back=-3.0)]
    stages = {"reciprocity": Reciprocity(1.0)}
    ranked = rank([*known, person("cy")], preference=taste, stages=stages)
    unsaid = {one.candidate.id: one.unsaid for one in ranked}
    assert unsaid == {"ann": set(), "bob": set(), "cy": {"reciprocity"}}
