"""Arms are given by hash: in their shares, for ever, and to people or regions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matching.assignment import arm_of, region_of
from matching.checks import experiment_is_well_described
from matching.experiments import Experiment, Unit
from profiles.models import Profile

KEYS = [f"person {number}" for number in range(20_000)]


def shares(experiment: Experiment) -> dict[str, float]:
    arms = [experiment.arm_of(key) for key in KEYS]
    return {arm: arms.count(arm) / len(arms) for arm in experiment.arms}


@pytest.mark.parametrize(
    "arms", [{"a": 1, "b": 1}, {"a": 1, "b": 3}, {"a": 5, "b": 3, "c": 2}]
)
def test_arms_get_their_shares(arms: dict[str, float]) -> None:
    total = sum(arms.values())
    for arm, share in shares(Experiment("try", Unit.PERSON, arms)).items():
        # Four standard deviations of a share among as many people.
        assert share == pytest.approx(arms[arm] / total, abs=4 * 0.5 / len(KEYS) ** 0.5)


def test_an_arm_of_no_weight_gets_nobody() -> None:
    found = shares(Experiment("try", Unit.PERSON, {"a": 0, "b": 1}))
    assert found == {"a": 0, "b": 1}


def test_experiments_are_independent_of_each_other() -> None:
    arms = {"a": 1.0, "b": 1.0}
    one, two = (Experiment(name, Unit.PERSON, arms) for name in ("one", "two"))
    alike = [one.arm_of(key) == two.arm_of(key) for key in KEYS]
    assert sum(alike) / len(alike) == pytest.approx(0.5, abs=0.02)


@given(st.text(), st.floats(0.1, 10), st.floats(1, 10))
def test_an_arm_that_grows_takes_units_and_moves_no_others(
    key: str, weight: float, growth: float
) -> None:
    arms = {"a": 1.0, "b": 2.0, "c": weight}
    before = Experiment("try", Unit.PERSON, arms).arm_of(key)
    after = Experiment("try", Unit.PERSON, arms | {"c": weight * growth}).arm_of(key)
    assert after in {before, "c"}


def test_an_assignment_is_the_same_in_every_process() -> None:
    experiment = Experiment("try", Unit.PERSON, {"a": 1, "b": 1})
    assert (
        "".join(experiment.arm_of(str(number)) for number in range(12))
        == "baaaaaababba"
    )


def test_text_says_an_experiment() -> None:
    said = Experiment.parse("prior-1/region: plain=1, bayesian = 3")
    assert said == Experiment("prior-1", Unit.REGION, {"plain": 1, "bayesian": 3})
    assert Experiment.parse("x: a=1").unit is Unit.PERSON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x:",
        ": a=1",
        "x/planet: a=1",
        "x: a",
        "x: a=-1",
        "x: a=0",
        "x: a=nan",
        "x: a=inf",
        "x: =1",
        "x: a=1, a=2",
    ],
)
def test_it_refuses_text_that_says_none(text: str, settings: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        Experiment.parse(text)
    settings.EXPERIMENT = text
    complaints = [error.id for error in experiment_is_well_described()]
    assert complaints == (["matching.E001"] if text else [])


def test_people_of_one_region_are_treated_alike(settings: Any) -> None:
    settings.EXPERIMENT = "try/region: a=1, b=1"
    for north in range(40):
        one = Profile(latitude=north + 0.1, longitude=-0.5)
        neighbour = Profile(latitude=north + 0.9, longitude=-0.1)
        assert arm_of(one) == arm_of(neighbour)
    assert region_of(Profile()) == "unknown"
    assert region_of(Profile(latitude=-0.5, longitude=0.5)) == "-1,0"


def test_without_an_experiment_nobody_is_in_one(settings: Any) -> None:
    settings.EXPERIMENT = ""
    assert arm_of(Profile()) == ""
    settings.EXPERIMENT = "try: a=1, b=1"
    assert arm_of(Profile()) in {"try:a", "try:b"}
