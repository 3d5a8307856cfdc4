"""From what a server's model wrote to answers: its letters, or nothing at all.

Whatever stands in a photo may end up in a model's text, so of a text only the letters
of a form are ever taken, and only if the whole text is that form. Pure.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from annotation.answers import Answer
from annotation.compact import Form, letters, spellings
from annotation.prompt import QUESTIONS, Question

LONGEST_ANSWER: Final = 8192  # characters
# What stands around a letter in a token: white space, and the punctuation of JSON.
AROUND: Final = ' \t\r\n":,[]{}'
# How the refusals of instructed models open; they only name the failure.
REFUSALS: Final = (
    "sorry",
    "i'm sorry",
    "i am sorry",
    "i apologize",
    "i can't",
    "i cannot",
    "i can not",
    "i won't",
    "i'm unable",
    "i am unable",
    "i'm not able",
    "i am not able",
    "unfortunately",
)


class UnreadableError(ValueError):
    """A text holds no answers. `reason` is a stable word and nothing of the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Token:
    """One token as written, and the likeliest ones there with their probabilities."""

    text: str
    listed: tuple[tuple[str, float], ...]


def match(text: str, form: Form) -> re.Match[str]:
    """The letters of a whole valid answer; UnreadableError for anything else."""
    found = form.pattern.fullmatch(text) if len(text) <= LONGEST_ANSWER else None
    if found is None:
        raise UnreadableError(_why_not(text))
    return found


def _why_not(text: str) -> str:
    said = text.strip().lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    if said.startswith(REFUSALS):
        return "refused"
    if said.startswith("{") and not said.endswith("}"):
        return "truncated"
    return "off-schema"


def certain(found: re.Match[str]) -> list[Answer]:
    """The letters as written, each with probability 1: nothing else is known."""
    return [
        Answer([float(letter == option) for option in letters(question)])
        for question, letter in zip(QUESTIONS, found.groups(), strict=True)
    ]


def tokens(logprobs: Any) -> list[Token] | None:
    """The tokens of a chat completion's `logprobs`; None if there are none to use."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(entries, list):
        return None
    try:
        return [_token(entry) for entry in entries]
    except (KeyError, TypeError, ValueError):
        return None


def _token(entry: Any) -> Token:
    own = _likelihood(entry)
    listed = [_likelihood(other) for other in entry.get("top_logprobs") or ()]
    if own[0] not in {text for text, _ in listed}:
        listed.append(own)
    return Token(own[0], tuple(listed))


def _likelihood(entry: Any) -> tuple[str, float]:
    text, logprob = entry["token"], entry["logprob"]
    if not isinstance(text, str) or isinstance(logprob, bool) or math.isnan(logprob):
        raise TypeError
    return text, math.exp(min(logprob, 0.0))


def likely(found: re.Match[str], written: Sequence[Token]) -> list[Answer] | None:
    """The probability of every option where each letter stands.

    None if the letters are not tokens of their own, or if all are certain: some servers
    give every token that they have chosen the probability 1.
    """
    start = "".join(token.text for token in written).find(found.string)
    if start < 0:
        return None
    begins = list(accumulate((len(token.text) for token in written), initial=0))
    answers = []
    for number, (question, letter) in enumerate(
        zip(QUESTIONS, found.groups(), strict=True)
    ):
        at = bisect_right(begins, start + found.start(number + 1)) - 1
        if written[at].text.strip(AROUND) != letter:
            return None
        answers.append(_answer(question, letter, written[at].listed))
    return None if all(max(a.probabilities) == 1 for a in answers) else answers


def _answer(
    question: Question, letter: str, listed: Sequence[tuple[str, float]]
) -> Answer:
    """Probabilities of a question's options from those of the tokens at its letter.

    What is not listed is no likelier than the least likely token that is, and shares
    what is left over.
    """
    seen = [
        sum(p for text, p in listed if text.strip(AROUND) in said)
        for said in spellings(question)
    ]
    left_over = max(0.0, 1 - sum(p for _, p in listed))
    floor = min(min(p for _, p in listed), left_over / max(1, seen.count(0)))
    shares = [p or floor for p in seen]
    if not any(shares):  # the server forced a letter of which the model thought nothing
        shares = [float(letter == option) for option in letters(question)]
    return Answer([p / sum(shares) for p in shares], min(1.0, sum(seen)))
