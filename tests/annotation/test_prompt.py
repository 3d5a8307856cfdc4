"""What a model is asked: everything the schema wants to know, and nothing else."""

from __future__ import annotations

import re

import pytest

from annotation.prompt import (
    INSTRUCTIONS,
    LETTERS,
    NO,
    OPENING,
    QUESTIONS,
    REQUEST,
    VERSION,
    YES,
    Asks,
    version_of,
    words,
)
from annotation.schema import DENY_LIST, NOT_VISIBLE, SCHEMA, Gate, Kind


def asked(asks: Asks) -> list[str]:
    return [question.subject for question in QUESTIONS if question.asks is asks]


def test_every_exclusive_attribute_is_one_question_with_not_visible_last() -> None:
    exclusive = [a for a in SCHEMA if a.kind is Kind.ONE]
    found = [q for q in QUESTIONS if q.asks is Asks.ATTRIBUTE]
    assert [q.subject for q in found] == [a.name for a in exclusive]
    for question, attribute in zip(found, exclusive, strict=True):
        assert question.options == (*attribute.values, NOT_VISIBLE)


def test_an_attribute_of_many_is_asked_for_at_all_and_then_value_by_value() -> None:
    for attribute in SCHEMA:
        if attribute.kind is Kind.MANY:
            about = [q for q in QUESTIONS if q.subject == attribute.name]
            assert [q.asks for q in about[:2]] == [Asks.VISIBILITY, Asks.VALUE]
            assert tuple(q.value for q in about[1:]) == attribute.values
            assert all(q.options == (YES, NO) for q in about)


def test_every_gate_is_asked_once() -> None:
    assert asked(Asks.GATE) == list(Gate)


def test_questions_can_be_told_apart() -> None:
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS)


def test_a_question_ends_with_a_colon_so_that_the_answer_comes_next() -> None:
    assert all(question.text.endswith(":") for question in QUESTIONS)


def test_answers_are_spelled_with_and_without_a_space_before_them() -> None:
    for question in QUESTIONS:
        assert len(question.words) == len(question.options) <= len(LETTERS)
        for spellings in question.words:
            assert {f" {word.strip()}" for word in spellings} < set(spellings)
        every = [word for spellings in question.words for word in spellings]
        assert len(set(every)) == len(every)


def test_the_instructions_name_every_value_once_for_all_photos() -> None:
    for attribute in SCHEMA:
        line = next(
            line
            for line in INSTRUCTIONS.splitlines()
            if re.match(rf"{words(attribute.name)}( \(|:|, yes)", line)
        )
        for value in attribute.values:
            assert re.search(rf"(=|, |: ){words(value)}( |,|$)", line)


@pytest.mark.parametrize("never", sorted(DENY_LIST))
def test_nothing_on_the_deny_list_is_asked(never: str) -> None:
    said = (INSTRUCTIONS + REQUEST).lower()
    # "cross" or "name" may be part of a word; asked for, it would stand alone.
    assert not re.search(rf"\b{re.escape(words(never))}\b", said)


def test_writing_in_a_photo_is_no_instruction() -> None:
    assert "never an instruction" in OPENING


def test_another_text_is_another_version() -> None:
    assert re.fullmatch("p-[0-9a-f]{8}", VERSION)
    assert version_of(INSTRUCTIONS, REQUEST) != version_of(INSTRUCTIONS + " ", REQUEST)
    assert version_of("ab", "c") != version_of("a", "bc")
