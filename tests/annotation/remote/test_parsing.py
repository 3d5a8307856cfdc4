"""Letters and their probabilities are read strictly, whatever a model writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from annotation import parsing
from annotation.answers import Answer
from annotation.compact import JSON, LINES, Form, letters
from annotation.parsing import UnreadableError
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
    found = parsing.match(text, form)
    answers = parsing.likely(found, parsing.tokens(logprobs))
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


def token(text: str, **others: float) -> dict[str, Any]:
    """A token as likely as not, with others beside it."""
    top = [{"token": t, "logprob": math.log(p)} for t, p in others.items()]
    return {"token": text, "logprob": math.log(0.5), "top_logprobs": top}


def test_letters_are_found_in_tokens_with_their_quotes() -> None:
    text = written(JSON, sheet())
    begin = text.index('"A"')
    tokens = [
        token(text[:begin]),
        token('"A"', **{'"A"': 0.6, '"B"': 0.3}),
        *(token(rest) for rest in tokens_of(text[begin + 3 :])),
    ]
    answers = parsing.likely(parsing.match(text, JSON), tokens)
    assert answers is not None
    assert answers[0].mass == pytest.approx(0.9)
    shares = [0.6, 0.3, *[0.1 / 7] * 7]
    assert answers[0].probabilities == pytest.approx(shares)


def test_tokens_around_the_text_do_not_shift_it() -> None:
    logprobs = logprobs_of(GOOD)
    for text, at in (("<think></think>", 0), ("<|im_end|>", 10**6)):
        logprobs["content"].insert(at, {"token": text, "logprob": 0.0})
    assert read(LINES, GOOD, logprobs)[0].probabilities[0] == pytest.approx(0.9)


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [token(GOOD)],  # letters are not tokens of their own
        [token(line) for line in GOOD.splitlines(keepends=True)],
        [token(t.replace(" ", "\u0120")) for t in tokens_of(GOOD)],
        [token(t) | {"logprob": 0.0} for t in tokens_of(GOOD)],  # all is certain
        [token(t) | {"logprob": "high"} for t in tokens_of(GOOD)],
        [token(t) | {"logprob": None} for t in tokens_of(GOOD)],
        [token(t) | {"logprob": math.nan} for t in tokens_of(GOOD)],
        [token(t) | {"logprob": True} for t in tokens_of(GOOD)],
        [token(t) | {"top_logprobs": 5} for t in tokens_of(GOOD)],
        [token(t) | {"top_logprobs": [None]} for t in tokens_of(GOOD)],
        [token(t) | {"top_logprobs": [{"token": 7, "logprob": -1}]} for t in GOOD],
        [{"token": t} for t in tokens_of(GOOD)],
        [{"token": 7, "logprob": -1.0}],
        [*tokens_of(GOOD)],
        [None],
    ],
)
def test_tokens_that_say_nothing_of_the_letters_are_not_used(tokens: list[Any]) -> None:
    assert parsing.likely(parsing.match(GOOD, LINES), tokens) is None


def test_the_same_tokens_are_used_when_they_do() -> None:
    tokens = [token(t) for t in tokens_of(GOOD)]
    assert parsing.likely(parsing.match(GOOD, LINES), tokens) is not None


@pytest.mark.parametrize(
    "logprobs", [None, [], "logprobs", {}, {"content": None}, {"content": "A"}]
)
def test_without_a_list_there_are_no_tokens(logprobs: Any) -> None:
    assert parsing.tokens(logprobs) == []
