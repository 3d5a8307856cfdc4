"""From answers to questions to a reading: distributions, their mass, and the gates.

Pure. An answer is a distribution over a question's options and its `mass`, the
probability that the model gave to any of them before they were made to sum to 1: a low
one says that it wanted to say something else, for instance to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Final

from annotation.prompt import QUESTIONS, YES, Asks, Question
from annotation.schema import NOT_VISIBLE, SCHEMA, Gate, Kind, Verdict

LEAST_MASS: Final = 0.2
# How likely the bad (good) options must be for a gate to fail (pass). Unknown waits for
# a person, so only what is nearly certain passes; doubt about age already fails.
FAILS_FROM: Final[Mapping[Gate, float]] = {
    Gate.FACE_COUNT: 0.9,
    Gate.QUALITY: 0.8,
    Gate.NUDITY: 0.5,
    Gate.ADULTS: 0.5,
}
PASSES_FROM: Final = 0.9
BAD: Final[Mapping[Gate, tuple[str, ...]]] = {
    Gate.FACE_COUNT: ("nobody",),
    Gate.QUALITY: ("unusable",),
    Gate.NUDITY: ("yes",),
    Gate.ADULTS: ("no", "unsure"),
}
GOOD: Final[Mapping[Gate, tuple[str, ...]]] = {
    Gate.FACE_COUNT: ("one", "several"),
    Gate.QUALITY: ("clear",),
    Gate.NUDITY: ("no",),
    Gate.ADULTS: ("yes",),
}


@dataclass(frozen=True)
class Answer:
    """Probabilities of a question's options, in their order, and their mass."""

    probabilities: Sequence[float]
    mass: float = 1.0

    def of(self, question: Question, *options: str) -> float:
        """The probability of any of these options."""
        named = zip(question.options, self.probabilities, strict=True)
        return sum(p for option, p in named if option in options)


@dataclass(frozen=True)
class Sight:
    """What the answers say: attributes by the schema, a mass for each, the gates."""

    attributes: dict[str, dict[str, float]]
    mass: dict[str, float]
    gates: dict[Gate, Verdict]


def sight(answers: Sequence[Answer]) -> Sight:
    """What one answer to each of QUESTIONS, in their order, says of a photo."""
    asked = zip(QUESTIONS, answers, strict=True)
    # Questions on one subject follow each other.
    about = {
        name: list(some) for name, some in groupby(asked, lambda qa: qa[0].subject)
    }
    return Sight(
        attributes={
            a.name: _exclusive(*about[a.name][0])
            if a.kind is Kind.ONE
            else _independent(about[a.name])
            for a in SCHEMA
        },
        mass={a.name: _mass(about[a.name]) for a in SCHEMA},
        gates={gate: verdict(gate, *about[gate][0]) for gate in Gate},
    )


def _exclusive(question: Question, answer: Answer) -> dict[str, float]:
    named = dict(zip(question.options, answer.probabilities, strict=True))
    return {NOT_VISIBLE: named.pop(NOT_VISIBLE), **named}


def _independent(asked: Sequence[tuple[Question, Answer]]) -> dict[str, float]:
    """A value is there if the attribute can be seen, and if it then is."""
    seen = next(a.of(q, YES) for q, a in asked if q.asks is Asks.VISIBILITY)
    values = {q.value: seen * a.of(q, YES) for q, a in asked if q.asks is Asks.VALUE}
    return {NOT_VISIBLE: 1 - seen, **values}


def _mass(asked: Sequence[tuple[Question, Answer]]) -> float:
    """That of the only question; of many, at most that of the first, on visibility.

    Every value hangs on it, and of a dozen values one refusal hardly matters.
    """
    (_, first), *values = asked
    if not values:
        return first.mass
    return min(first.mass, fmean(answer.mass for _, answer in values))


def verdict(gate: Gate, question: Question, answer: Answer) -> Verdict:
    """Pass or fail only where the model is sure of it, and did answer the question."""
    if answer.mass < LEAST_MASS:
        return Verdict.UNKNOWN
    if answer.of(question, *BAD[gate]) >= FAILS_FROM[gate]:
        return Verdict.FAIL
    if answer.of(question, *GOOD[gate]) >= PASSES_FROM:
        return Verdict.PASS
    return Verdict.UNKNOWN
