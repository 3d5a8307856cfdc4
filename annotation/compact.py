"""All questions in one request, all answers in one short text: for models on servers.

The system's text never changes, so that a server computes it once; the photo follows.
Every attribute and gate opens with its name: a model that wrote bare letters might lose
count of 69 of them, and no calibration could put that right. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from annotation.prompt import (
    INSTRUCTIONS,
    LETTERS,
    QUESTIONS,
    REQUEST,
    Asks,
    Question,
    version_of,
    words,
)

YES_OR_NO: Final = "YN"
BLANK: Final = "?"


def letters(question: Question) -> str:
    """The letter of each option, in their order."""
    if question.asks in {Asks.VISIBILITY, Asks.VALUE}:
        return YES_OR_NO
    return LETTERS[: len(question.options)]


def spellings(question: Question) -> list[frozenset[str]]:
    """For each option what a model may have wanted to write: its letter or its word."""
    named = zip(letters(question), question.words, strict=True)
    return [frozenset({letter, *(w.strip() for w in said)}) for letter, said in named]


@dataclass(frozen=True)
class Slot:
    """One line of an answer: an attribute or a gate, and its letters."""

    name: str
    letters: tuple[str, ...]  # of each of its questions

    @property
    def is_row(self) -> bool:
        """Whether it holds several answers, yes or no each."""
        return len(self.letters) > 1


def _slots() -> tuple[Slot, ...]:
    asked = [list(group) for _, group in groupby(QUESTIONS, lambda q: q.subject)]
    return tuple(Slot(_name(qs), tuple(letters(q) for q in qs)) for qs in asked)


def _name(asked: list[Question]) -> str:
    """As the codebook calls it."""
    first = asked[0]
    return first.text[:-1] if first.asks is Asks.GATE else words(first.subject)


SLOTS: Final = _slots()
HOW: Final = (
    "Fill in the form below: write the form and nothing else. Every ? is one letter. "
    "Where there are several, write Y for yes or N for no: first whether this can be "
    "seen at all, then one for each of the values above, in their order."
)


@dataclass(frozen=True)
class Form:
    """A way to write the answers: `system` is what the model is told before the photo.

    `pattern` matches a whole valid answer, with one group for each of QUESTIONS. None
    is longer than `max_tokens` characters, but for needless white space.
    """

    system: str
    pattern: re.Pattern[str]
    max_tokens: int


def _form(blank: str, pattern: str, max_tokens: int) -> Form:
    system = f"{INSTRUCTIONS}\n\n{HOW}\n\n{blank}"
    return Form(system, re.compile(pattern), max_tokens)


def _lines_pattern(letter: str) -> str:
    """The lines as a pattern; `letter` is that of one, with {} for its options."""
    return r"\n".join(
        f"{slot.name}: " + " ".join(letter.format(options) for options in slot.letters)
        for slot in SLOTS
    )


def _blank_lines() -> str:
    return "\n".join(f"{s.name}: {' '.join(BLANK for _ in s.letters)}" for s in SLOTS)


def _blank_json() -> str:
    named = {s.name: [BLANK] * len(s.letters) if s.is_row else BLANK for s in SLOTS}
    return json.dumps(named, separators=(",", ":"))


def _json_pattern() -> str:
    """The JSON object with its keys in order and white space where JSON allows it."""
    pairs = [rf'"{slot.name}"\s*:\s*{_json_value(slot)}' for slot in SLOTS]
    return r"\s*\{\s*" + r"\s*,\s*".join(pairs) + r"\s*\}\s*"


def _json_value(slot: Slot) -> str:
    strings = [f'"([{options}])"' for options in slot.letters]
    if not slot.is_row:
        return strings[0]
    return r"\[\s*" + r"\s*,\s*".join(strings) + r"\s*\]"


# For servers that let a model write only what matches a regular expression.
REGEX: Final = _lines_pattern("[{}]")
LINES: Final = _form(
    _blank_lines(), rf"\s*{_lines_pattern('([{}])')}\s*", max_tokens=512
)
# For servers that hold a model to a schema of JSON, or to nothing.
JSON: Final = _form(_blank_json(), _json_pattern(), max_tokens=1024)


def json_schema() -> Mapping[str, Any]:
    """What JSON answers obey: every name, in order, and only the letters it allows."""
    properties = {slot.name: _schema(slot) for slot in SLOTS}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _schema(slot: Slot) -> Mapping[str, Any]:
    letter = {"type": "string", "enum": list(slot.letters[0])}
    if not slot.is_row:
        return letter
    count = len(slot.letters)
    return {"type": "array", "items": letter, "minItems": count, "maxItems": count}


# Both forms have one version: every provider of a reading asks the same.
VERSION: Final = version_of(LINES.system, JSON.system, REQUEST)
