"""The form that a model fills in: every question once, and nothing else."""

from __future__ import annotations

import json
import re

import pytest

from annotation import compact
from annotation.compact import JSON, LINES, SLOTS, Form
from annotation.prompt import QUESTIONS, Asks
from annotation.schema import SCHEMA, Gate
from tests.annotation.remote.modelserver import sheet, written

FORMS = pytest.mark.parametrize("form", [LINES, JSON], ids=["lines", "json"])
LAST = [compact.letters(question)[-1] for question in QUESTIONS]


def test_every_question_has_its_place_in_the_order_of_the_prompt() -> None:
    placed = [letters for slot in SLOTS for letters in slot.letters]
    assert placed == [compact.letters(question) for question in QUESTIONS]
    assert len(SLOTS) == len(SCHEMA) + len(Gate)


def test_a_question_has_as_many_letters_as_options() -> None:
    for question in QUESTIONS:
        letters = compact.letters(question)
        assert len(set(letters)) == len(question.options)
        assert (letters == "YN") == (question.asks in {Asks.VISIBILITY, Asks.VALUE})


@FORMS
def test_the_pattern_reads_every_letter_where_it_belongs(form: Form) -> None:
    for chosen in (sheet(), LAST):
        found = form.pattern.fullmatch(written(form, chosen))
        assert found is not None
        assert list(found.groups()) == chosen


@FORMS
def test_no_valid_answer_is_cut_off(form: Form) -> None:
    text = written(form, LAST)
    compacted = re.sub(r"(?<=[:,]) (?=[\"\[])", "", text)  # JSON without spaces
    assert len(compacted) <= form.max_tokens


@FORMS
def test_the_model_is_shown_the_form_that_is_read(form: Form) -> None:
    blank = form.system.rsplit("\n\n", 1)[1]
    letters = iter(sheet())
    filled = re.sub(r"\?", lambda _: next(letters), blank)
    assert form.pattern.fullmatch(filled)


def test_what_servers_are_given_matches_exactly_the_lines() -> None:
    assert re.fullmatch(compact.REGEX, written(LINES, LAST))
    assert not re.fullmatch(compact.REGEX, written(LINES, LAST) + " ")
    assert not re.search(r"[(|\\](?!n)", compact.REGEX)  # what every engine can do


def test_the_schema_of_json_names_what_the_pattern_reads() -> None:
    schema = compact.json_schema()
    answer = json.loads(written(JSON, sheet()))
    assert list(answer) == schema["required"] == list(schema["properties"])
    for name, value in answer.items():
        told = schema["properties"][name]
        if told["type"] == "array":
            assert told["minItems"] == told["maxItems"] == len(value)
            assert set(value) <= set(told["items"]["enum"])
        else:
            assert value in told["enum"]
