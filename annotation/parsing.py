"""From what a server's model wrote to answers: its letters, or nothing at all.

Whatever stands in a photo may end up in a model's text, so of a text only the letters
of a form are ever taken, and only if the whole text is that form. Pure.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Final

from annotation.answers import Answer
from annotation.compact import Form, letters, spellings
from annotation.prompt import QUESTIONS

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
# For each question, which option a token means.
OPTION_OF: Final = [
    {word: number for number, said in enumerate(spellings(question)) for word in said}
    for question in QUESTIONS
]
Listed = list[tuple[str, float]]  # tokens and their probabilities


class UnreadableError(ValueError):
    """A text holds no answers. `reason` is a stable word and nothing of the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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


def tokens(logprobs: Any) -> list[Any]:
    """The tokens in a chat completion's `logprobs`, as they came; [] without any."""
    entries = logprobs.get("content") if isinstance(logprobs, dict) else None
    return entries if isinstance(entries, list) else []


def likely(found: re.Match[str], written: Sequence[Any]) -> list[Answer] | None:
    """The probability of every option where each letter stands.

    None if the tokens are malformed, if the letters are not tokens of their own, or if
    all are certain: some servers give every token that they choose the probability 1.
    """
    try:
        answers = [
            _answer(number, letter, _listed(entry))
            for number, (letter, entry) in enumerate(_at_letters(found, written))
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if all(max(a.probabilities) == 1 for a in answers) else answers


def _at_letters(
    found: re.Match[str], written: Sequence[Any]
) -> Iterator[tuple[str, Any]]:
    """Every letter with its token; ValueError if there is no such token."""
    texts = [entry["token"] for entry in written]
    start = "".join(texts).index(found.string)
    begins = list(accumulate(map(len, texts), initial=0))
    for group, letter in enumerate(found.groups(), 1):
        at = bisect_right(begins, start + found.start(group)) - 1
        if texts[at].strip(AROUND) != letter:
            raise ValueError
        yield letter, written[at]


def _listed(entry: Any) -> Listed:
    """The likeliest tokens at one place, that which was written among them."""
    listed = [_likelihood(other) for other in entry.get("top_logprobs") or ()]
    if entry["token"] not in {text for text, _ in listed}:
        listed.append(_likelihood(entry))
    return listed


def _likelihood(entry: Any) -> tuple[str, float]:
    logprob = entry["logprob"]
    if isinstance(logprob, bool) or math.isnan(logprob):
        raise TypeError
    return entry["token"], math.exp(min(logprob, 0.0))


def _answer(number: int, letter: str, listed: Listed) -> Answer:
    """Probabilities of a question's options from those of the tokens at its letter.

    What is not listed is no likelier than the least likely token that is, and shares
    what is left over.
    """
    options = letters(QUESTIONS[number])
    seen = [0.0] * len(options)
    for text, probability in listed:
        option = OPTION_OF[number].get(text.strip(AROUND))
        if option is not None:
            seen[option] += probability
    left_over = max(0.0, 1 - sum(p for _, p in listed))
    floor = min(min(p for _, p in listed), left_over / max(1, seen.count(0)))
    shares = [p or floor for p in seen]
    if not any(shares):  # the server forced a letter of which the model thought nothing
        shares = [float(letter == option) for option in options]
    total = sum(shares)
    return Answer([share / total for share in shares], min(1.0, sum(seen)))
