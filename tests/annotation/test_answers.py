"""From answers to a reading: it obeys the schema, and gates say what is certain."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.answers import LEAST_MASS, Answer, sight
from annotation.prompt import QUESTIONS, YES, Asks, Question
from annotation.schema import BY_NAME, NOT_VISIBLE, Gate, Kind, Verdict, problems


def certain(question: Question, option: str, mass: float = 1.0) -> Answer:
    return Answer([float(o == option) for o in question.options], mass)


def answers(choose: Callable[[Question], Answer | None]) -> list[Answer]:
    """What `choose` says, and the last option where it says nothing."""
    return [choose(q) or certain(q, q.options[-1]) for q in QUESTIONS]


def about(subject: str, option: str, *, value: str = "") -> list[Answer]:
    return answers(
        lambda q: (
            certain(q, option) if (q.subject, q.value) == (subject, value) else None
        )
    )


@given(st.data())
def test_any_answers_make_a_reading_that_obeys_the_schema(data: st.DataObject) -> None:
    weight = st.floats(0.001, 1)

    def drawn(question: Question) -> Answer:
        count = len(question.options)
        weights = data.draw(st.lists(weight, min_size=count, max_size=count))
        return Answer([w / sum(weights) for w in weights], data.draw(st.floats(0, 1)))

    assert problems(sight(answers(drawn)).attributes) == []


def test_options_are_values_in_their_order() -> None:
    seen = sight(about("hair_color", "red")).attributes["hair_color"]
    assert seen["red"] == 1
    assert sum(seen.values()) == 1


def test_a_value_is_as_likely_as_seeing_it_and_its_being_there() -> None:
    half = Answer([0.5, 0.5])

    def choose(question: Question) -> Answer | None:
        if question.subject != "objects":
            return None
        if question.asks is Asks.VISIBILITY:
            return Answer([0.8, 0.2])
        return half if question.value == "dog" else None

    seen = sight(answers(choose)).attributes["objects"]
    assert seen["dog"] == pytest.approx(0.4)
    assert seen[NOT_VISIBLE] == pytest.approx(0.2)
    assert seen["cat"] == 0


def test_what_cannot_be_seen_has_no_values() -> None:
    seen = sight(
        answers(lambda q: certain(q, YES) if q.asks is Asks.VALUE else None)
    ).attributes
    for name, distribution in seen.items():
        if BY_NAME[name].kind is Kind.MANY:
            assert distribution[NOT_VISIBLE] == 1
            assert sum(distribution.values()) == 1


def test_mass_is_kept_for_every_attribute() -> None:
    def choose(question: Question) -> Answer | None:
        doubtful = question.subject == "makeup"
        return certain(question, "none", 0.1) if doubtful else None

    mass = sight(answers(choose)).mass
    assert set(mass) == set(BY_NAME)
    assert mass["makeup"] == pytest.approx(0.1)
    assert mass["eyewear"] == 1


def mass_of_objects(mass: Callable[[Question], float]) -> float:
    asked = answers(
        lambda q: certain(q, YES, mass(q)) if q.subject == "objects" else None
    )
    return sight(asked).mass["objects"]


def test_a_refusal_to_say_what_can_be_seen_is_not_hidden_by_the_values() -> None:
    refused = mass_of_objects(lambda q: 0.1 if q.asks is Asks.VISIBILITY else 1.0)
    assert refused == 0.1
    assert refused < LEAST_MASS


def test_the_mass_of_many_values_is_their_mean() -> None:
    count = len(BY_NAME["objects"].values)
    dog = mass_of_objects(lambda q: 0.1 if q.value == "dog" else 1.0)
    assert dog == pytest.approx(1 - 0.9 / count)
    all_refused = mass_of_objects(lambda q: 0.1 if q.asks is Asks.VALUE else 1.0)
    assert all_refused == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("gate", "option", "verdict"),
    [
        (Gate.FACE_COUNT, "one", Verdict.PASS),
        (Gate.FACE_COUNT, "several", Verdict.PASS),
        (Gate.FACE_COUNT, "nobody", Verdict.FAIL),
        (Gate.QUALITY, "clear", Verdict.PASS),
        (Gate.QUALITY, "poor", Verdict.UNKNOWN),
        (Gate.QUALITY, "unusable", Verdict.FAIL),
        (Gate.NUDITY, "no", Verdict.PASS),
        (Gate.NUDITY, "yes", Verdict.FAIL),
        (Gate.ADULTS, "yes", Verdict.PASS),
        (Gate.ADULTS, "no", Verdict.FAIL),
        (Gate.ADULTS, "unsure", Verdict.FAIL),
    ],
)
def test_gates_say_what_is_certain(gate: Gate, option: str, verdict: Verdict) -> None:
    assert sight(about(gate, option)).gates[gate] is verdict


def gate_of(gate: Gate, answer: Answer) -> Verdict:
    return sight(answers(lambda q: answer if q.subject == gate else None)).gates[gate]


def test_doubt_about_age_fails_and_some_doubt_waits_for_a_person() -> None:
    assert gate_of(Gate.ADULTS, Answer([0.5, 0.25, 0.25])) is Verdict.FAIL
    assert gate_of(Gate.ADULTS, Answer([0.8, 0.1, 0.1])) is Verdict.UNKNOWN
    assert gate_of(Gate.ADULTS, Answer([0.95, 0.03, 0.02])) is Verdict.PASS


def test_a_model_that_wanted_to_say_something_else_decides_no_gate() -> None:
    assert gate_of(Gate.NUDITY, Answer([1, 0], LEAST_MASS / 2)) is Verdict.UNKNOWN
    assert gate_of(Gate.NUDITY, Answer([0, 1], LEAST_MASS / 2)) is Verdict.UNKNOWN


def test_an_answer_short_is_an_error_not_a_reading() -> None:
    with pytest.raises(ValueError, match="shorter"):
        sight(about("makeup", "none")[:-1])
