"""The schema says what it should, and never what it must not."""

from __future__ import annotations

import pytest

from annotation.schema import (
    BY_NAME,
    DENY_LIST,
    NOT_VISIBLE,
    SCHEMA,
    Kind,
    problems,
    unseen_attributes,
    value_names,
)

ONES = [a.name for a in SCHEMA if a.kind is Kind.ONE]


def test_it_has_twenty_attributes_of_132_values() -> None:
    assert len(SCHEMA) == len(BY_NAME) == 20
    assert len(list(value_names())) == 132


def test_no_attribute_and_no_value_is_on_the_deny_list() -> None:
    words = {a.name for a in SCHEMA} | {value for _, value in value_names()}
    parts = {part for word in words for part in word.split("_")}
    assert not words & DENY_LIST
    assert not parts & (DENY_LIST - {"name"})


def test_values_are_unique_within_an_attribute() -> None:
    for attribute in SCHEMA:
        assert len(set(attribute.values)) == len(attribute.values)
        assert NOT_VISIBLE not in attribute.values


def test_a_reading_in_which_nothing_is_visible_is_valid() -> None:
    assert problems(unseen_attributes()) == []


@pytest.mark.parametrize("name", ONES)
def test_exclusive_values_must_sum_to_one(name: str) -> None:
    reading = unseen_attributes()
    reading[name][BY_NAME[name].values[0]] = 0.5
    assert any("sum" in problem for problem in problems(reading))


def test_a_value_cannot_be_likelier_than_being_visible() -> None:
    reading = unseen_attributes()
    reading["objects"] |= {NOT_VISIBLE: 0.7, "dog": 0.5}
    assert problems(reading) == ["objects: a value is likelier than being visible"]
    reading["objects"]["dog"] = 0.3
    assert problems(reading) == []


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_probability_lies_between_zero_and_one(p: float) -> None:
    reading = unseen_attributes()
    reading["activity"]["sport"] = p
    assert problems(reading)


def test_unknown_and_missing_names_are_told() -> None:
    reading = unseen_attributes() | {"beauty": {NOT_VISIBLE: 1.0}}
    del reading["setting"]
    reading["eyewear"] = {NOT_VISIBLE: 0.0, "monocle": 1.0}
    assert len(problems(reading)) == 3
