"""Letters and their probabilities are read strictly, whatever a model writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from annotation import parsing
from annotation.answers import Answer
from annotation.compact import JSON, LINES, Form, letters
from annotation.parsing import Token, UnreadableError
from annotation.prompt import QUESTIONS
from tests.annotation.remote.modelserver import (
    logprobs_of,
    sheet,
    tokens_of,
    written,
)

GOOD = written(LINES, sheet())


def reason(text: str, form: Form = LINES) -> str:
    with pytest.raises(UnreadableError) as caught:
        parsing.match(text, form)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A B C",
        GOOD.replace("hair color: A", "hair color: Z"),
        GOOD.replace("hair color: A", "hair color: a"),
        GOOD.replace("hair color: A", "hair color: AB"),
        GOOD.replace("hair color: A\n", ""),
        GOOD + "\nhair color: A",
        GOOD + "\nIgnore the form.",
        "Here it is:\n" + GOOD,
        GOOD.replace("A", "\N{GREEK CAPITAL LETTER ALPHA}"),
        GOOD + " " * parsing.LONGEST_ANSWER,
        "[" * 5000,
    ],
)
def test_anything_but_the_whole_form_is_off_schema(text: str) -> None:
    assert reason(text) == "off-schema"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I\N{RIGHT SINGLE QUOTATION MARK}m sorry, I can't describe people.",
        "  Unfortunately, I am not able to identify anyone.",
    ],
)
def test_a_refusal_in_prose_is_called_one(text: str) -> None:
    assert reason(text) == reason(text, JSON) == "refused"


def test_json_that_ends_in_the_middle_is_truncated() -> None:
    whole = written(JSON, sheet())
    assert {reason(whole[:cut], JSON) for cut in range(1, len(whole))} == {"truncated"}


def test_white_space_of_json_does_not_matter_and_the_order_does() -> None:
    text = written(JSON, sheet())
    spaced = text.replace(",", " ,\n\t").replace("{", "\n{ ").replace("]", "\r\n]")
    assert parsing.match(spaced, JSON).groups() == tuple(sheet())
    swapped = text.replace("hair color", "X").replace("hair length", "hair color")
    assert reason(swapped.replace('"X"', '"hair length"'), JSON) == "off-schema"


def test_without_logprobs_each_letter_is_certain() -> None:
    chosen = sheet(hair_color="C", adults="B")
    answers = parsing.certain(parsing.match(written(LINES, chosen), LINES))
    for question, letter, answer in zip(QUESTIONS, chosen, answers, strict=True):
        at = letters(question).index(letter)
        assert answer.probabilities[at] == sum(answer.probabilities) == 1


def read(form: Form, text: str, logprobs: Any) -> list[Answer]:
    tokens = parsing.tokens(logprobs)
    assert tokens is not None
    answers = parsing.likely(parsing.match(text, form), tokens)
    assert answers is not None
    return answers


def with_listed(text: str, at: int, listed: Mapping[str, float]) -> dict[str, Any]:
    """Logprobs of `text` in which the token at this letter has these others."""
    logprobs = logprobs_of(text)
    letters_at = [
        number
        for number, token in enumerate(tokens_of(text))
        if len(token.strip()) == 1 and token.strip().isupper()
    ]
    top = [{"token": t, "logprob": math.log(p)} for t, p in listed.items()]
    logprobs["content"][letters_at[at]]["top_logprobs"] = top
    return logprobs


@pytest.mark.parametrize("form", [LINES, JSON], ids=["lines", "json"])
def test_spellings_are_added_and_mass_is_what_they_had_before(form: Form) -> None:
    text = written(form, sheet())
    listed = {" A": 0.3, "A": 0.1, " B": 0.2, " Sorry": 0.2, "The": 0.1}
    answer = read(form, text, with_listed(text, 0, listed))[0]
    assert answer.mass == pytest.approx(0.6)
    # Seven letters are not listed; they share the 0.1 that no token was listed for.
    total = 0.4 + 0.2 + 0.1
    shares = [0.4, 0.2, *([0.1 / 7] * 7)]
    assert answer.probabilities == pytest.approx([share / total for share in shares])


def test_yes_and_no_count_as_their_letters() -> None:
    text = written(LINES, sheet())
    at = next(n for n, q in enumerate(QUESTIONS) if q.subject == "accessories")
    listed = {" Y": 0.2, "Yes": 0.3, " yes": 0.1, " No": 0.2, " N": 0.1}
    answer = read(LINES, text, with_listed(text, at, listed))[at]
    assert answer.probabilities == pytest.approx([0.6 / 0.9, 0.3 / 0.9])
    assert answer.mass == pytest.approx(0.9)


def test_what_is_not_listed_is_no_likelier_than_what_is() -> None:
    text = written(LINES, sheet())
    listed = {" A": 0.5, " B": 0.001}  # nearly half of the probability is elsewhere
    answer = read(LINES, text, with_listed(text, 0, listed))[0]
    assert answer.probabilities[2:] == pytest.approx([0.001 / (0.501 + 7 * 0.001)] * 7)


def test_rounding_above_one_makes_nothing_negative() -> None:
    text = written(LINES, sheet())
    answer = read(LINES, text, with_listed(text, 0, {" A": 0.8, " B": 0.2001}))[0]
    assert min(answer.probabilities) == 0
    assert answer.mass == 1


def test_a_letter_that_only_the_server_wanted_has_no_mass() -> None:
    text = written(LINES, sheet())
    logprobs = with_listed(text, 0, {" Sorry": 1.0})
    entry = next(e for e in logprobs["content"] if e["token"] == " A")
    entry["logprob"] = -9999.0
    answer = read(LINES, text, logprobs)[0]
    assert answer.probabilities[0] == 1
    assert answer.mass == 0


def test_letters_are_found_in_tokens_with_their_quotes() -> None:
    text = written(JSON, sheet())
    token = Token('"A"', (('"A"', 0.6), ('"B"', 0.3)))
    begin = text.index('"A"')
    others = [
        Token(t, ((t, 0.5),)) for t in (text[:begin], *tokens_of(text[begin + 3 :]))
    ]
    answers = parsing.likely(parsing.match(text, JSON), [others[0], token, *others[1:]])
    assert answers is not None
    assert answers[0].probabilities[:2] == pytest.approx(
        [0.6 / 1.0, 0.3 / 1.0], abs=0.1
    )
    assert answers[0].mass == pytest.approx(0.9)


def test_tokens_around_the_text_do_not_shift_it() -> None:
    logprobs = logprobs_of(GOOD)
    for text, at in (("<think></think>", 0), ("<|im_end|>", 10**6)):
        logprobs["content"].insert(at, {"token": text, "logprob": 0.0})
    assert read(LINES, GOOD, logprobs)[0].probabilities[0] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "tokens",
    [
        [Token(GOOD, ((GOOD, 0.5),))],  # letters are not tokens of their own
        [Token(t.replace(" ", "\u0120"), ((t, 0.5),)) for t in tokens_of(GOOD)],
        [Token(t, ((t, 1.0),)) for t in tokens_of(GOOD)],  # all is certain
    ],
    ids=["one-token", "raw-bytes", "certain"],
)
def test_tokens_that_say_nothing_of_the_letters_are_not_used(
    tokens: list[Token],
) -> None:
    assert parsing.likely(parsing.match(GOOD, LINES), tokens) is None


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        "logprobs",
        {},
        {"content": None},
        {"content": [None]},
        {"content": ["A"]},
        {"content": [{"token": "A"}]},
        {"content": [{"token": 7, "logprob": -1.0}]},
        {"content": [{"token": "A", "logprob": "high"}]},
        {"content": [{"token": "A", "logprob": None}]},
        {"content": [{"token": "A", "logprob": math.nan}]},
        {"content": [{"token": "A", "logprob": True}]},
        {"content": [{"token": "A", "logprob": -1.0, "top_logprobs": 5}]},
    ],
)
def test_malformed_logprobs_are_none(logprobs: Any) -> None:
    assert parsing.tokens(logprobs) is None
