"""The stages together: that they only add, and only what their weights allow."""

from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from matching.features import WIDTH
from matching.preference import BayesianPreference, PlainPreference
from matching.ranking.base import rank
from matching.ranking.stages import STAGES, Weights, build
from tests.matching.ranking.people import crowd, names

SEEDS = st.integers(0, 2**32 - 1)
NOTHING = dict.fromkeys(STAGES, 0.0)
EVERYTHING = Weights(exploration=0.5)


def taste_of(rng: np.random.Generator) -> BayesianPreference:
    return BayesianPreference.fit(
        rng.normal(size=(4, WIDTH)) / 9, liked=[True, True, False, False]
    )


@given(seed=SEEDS, count=st.integers(0, 40))
def test_the_addends_of_all_stages_sum_to_the_score(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    taste, people = taste_of(rng), crowd(rng, count)
    stages = build(EVERYTHING, preference=taste, seed="s")
    ranked = rank(people, preference=taste, stages=stages)
    assert sorted(names(ranked)) == [person.id for person in people]
    for one in ranked:
        assert tuple(one.stages) == STAGES
        assert one.score == pytest.approx(
            taste.score(one.candidate.features[None])[0] + sum(one.stages.values()),
            abs=1e-9,
        )
    assert [r.score for r in ranked] == sorted((r.score for r in ranked), reverse=True)


@given(seed=SEEDS)
def test_the_order_people_are_given_in_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    taste, people = taste_of(rng), crowd(rng, 25)
    stages = build(EVERYTHING, preference=taste, seed="s")
    forward = rank(people, preference=taste, stages=stages)
    backward = rank(people[::-1], preference=taste, stages=stages)
    assert names(forward) == names(backward)


@pytest.mark.parametrize("name", STAGES)
def test_a_weight_of_zero_leaves_its_stage_out(name: str) -> None:
    rng = np.random.default_rng(0)
    taste, people = taste_of(rng), crowd(rng, 30)
    without = Weights(**{**asdict(EVERYTHING), name: 0.0})
    stages = build(without, preference=taste, seed="s")
    assert list(stages) == [stage for stage in STAGES if stage != name]
    ranked = rank(people, preference=taste, stages=stages)
    assert all(name not in one.stages for one in ranked)


def test_without_any_weight_the_preference_decides_alone() -> None:
    rng = np.random.default_rng(0)
    taste, people = taste_of(rng), crowd(rng, 30)
    stages = build(Weights(**NOTHING), preference=taste, seed="s")
    assert stages == {}
    assert names(rank(people, preference=taste, stages=stages)) == names(
        rank(people, preference=taste)
    )


def test_a_preference_without_a_variance_is_not_explored() -> None:
    plain = PlainPreference.fit(np.eye(1, WIDTH), liked=[True])
    assert "exploration" not in build(EVERYTHING, preference=plain, seed="s")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", [field.name for field in fields(Weights)])
def test_it_refuses_a_weight_that_is_none(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        Weights(**{name: value})


def test_it_refuses_a_half_life_of_nothing() -> None:
    with pytest.raises(ValueError, match=r"recency_half_life_days .* above 0"):
        Weights(recency_half_life_days=0.0)


def test_the_settings_are_the_weights_that_the_documentation_names() -> None:
    assert asdict(Weights()) == settings.RANKING


DOCUMENTED = {
    "reciprocity": "λ = {reciprocity:g}",
    "recency": "w = {recency:g}, h = {recency_half_life_days:g} days",
    "exposure": "w = {exposure:g}, c = {exposure_cap:g}",
    "exploration": "w = {exploration:g}: off",
    "diversity": "λ = {diversity:g}",
    "newcomers": "w = {newcomers:g}, {newcomer_days:g} days,"
    " {newcomer_impressions:g} times",
}


def test_the_documentation_has_the_stages_in_their_order_with_their_defaults() -> None:
    text = (Path(__file__).parents[3] / "docs" / "ranking.md").read_text()
    table = text[text.index("| stage | addend |") : text.index("Every weight is a")]
    rows = [row.split(" | ") for row in table.splitlines() if row.startswith("| `")]
    found = {row[0].strip("| `"): row[-1].strip(" |") for row in rows}
    weights = asdict(Weights())
    assert tuple(found) == STAGES
    assert found == {name: says.format(**weights) for name, says in DOCUMENTED.items()}
