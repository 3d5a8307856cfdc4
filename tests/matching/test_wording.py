"""What is said in three languages: all of it translated, and what the addends say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation

from matching.catalogues import CONTEXT_END, PLURAL_END, compiled, parse
from matching.explain import (
    Explanation,
    Reason,
    Scored,
    Wish,
    explanations,
    wishes,
)
from matching.features import FeatureSpace, person_features, photo_matrix
from matching.messages import STAGE_MESSAGES, Message
from matching.phrases import PLURALS, STAGES, Phrase, vocabulary
from matching.population import neutral_space
from matching.preference import BayesianPreference
from matching.wording import named, said, sentence, subject, understood
from tests.matching.readings import sighting

LANGUAGES = ("ru", "ko")
PLACE = re.compile(r"%\((\w+)\)[sd]")
LATIN = re.compile(r"[a-z]", re.IGNORECASE)


def catalogue(language: str) -> Path:
    folder = Path(settings.LOCALE_PATHS[0])
    return folder / language / "LC_MESSAGES" / "django.po"


def key(phrase: Phrase) -> str:
    context = phrase.context + CONTEXT_END if phrase.context else ""
    plural = PLURALS.get(phrase.message)
    return context + phrase.message + (PLURAL_END + plural if plural else "")


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_can_be_said_is_translated_and_nothing_else(
    language: str,
) -> None:
    entries = parse(catalogue(language).read_text())
    assert set(entries) - {""} == {key(phrase) for phrase in vocabulary()}


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    entries = parse(catalogue(language).read_text())
    kept = catalogue(language).with_suffix(".mo").read_bytes()
    assert kept == compiled(entries), "run ./run manage compilephrases"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_translation_has_the_places_of_its_message(language: str) -> None:
    for message, text in parse(catalogue(language).read_text()).items():
        asked = set(PLACE.findall(message))
        assert all(set(PLACE.findall(t)) == asked for t in text.split(PLURAL_END))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_phrase_is_found_and_nothing_is_left_in_english(language: str) -> None:
    with translation.override(language):
        for phrase in vocabulary():
            places = dict.fromkeys(PLACE.findall(phrase.message), 1)
            text = said(Phrase(phrase.message, places, phrase.context, count=1))
            assert not LATIN.search(text), text


def test_the_documentation_has_the_words_of_every_stage() -> None:
    text = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text()
    for stage in {name for name, _ in STAGE_MESSAGES}:
        messages = [STAGE_MESSAGES.get((stage, raises)) for raises in (True, False)]
        words = [STAGES[message] if message else "-" for message in messages]
        assert f"| `{stage}` | {words[0]} | {words[1]} |" in text


def test_a_stage_has_words_for_whatever_it_may_say() -> None:
    assert set(STAGE_MESSAGES.values()) == set(STAGES)


# Sentences ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def space() -> FeatureSpace:
    return neutral_space(model="test")


@pytest.fixture
def gym_lover(space: FeatureSpace) -> BayesianPreference:
    """Four of five liked photos are in a gym, no disliked one."""
    settings = ["gym", "gym", "home", "gym", "gym"]
    photos = [sighting(setting=s) for s in (*settings, *["home"] * 5)]
    return BayesianPreference.fit(
        photo_matrix(space, photos), liked=[True] * 5 + [False] * 5
    )


def explained(
    space: FeatureSpace, taste: BayesianPreference, setting: str, **stages: float
) -> Explanation:
    features = person_features(space, [sighting(setting=setting)] * 2)
    return explanations(space, [Scored(features, stages)], preference=taste)[0]


@pytest.mark.parametrize(
    ("language", "gym", "home"),
    [
        (
            "en",
            "Similar setting (gym), like photos 1, 2, 4 and 5.",
            "No clear likeness to the photos you like; less so: setting (home).",
        ),
        (
            "ru",
            "Похоже: обстановка (спортзал) — как на фото 1, 2, 4 и 5.",
            "Явного сходства с понравившимися фото нет;"  # noqa: RUF001
            " меньше подходит: обстановка (дом).",
        ),
        (
            "ko",
            "좋아한 사진 1, 2, 4, 5번처럼 비슷한 점: 장소(헬스장).",
            "좋아한 사진과 뚜렷하게 비슷한 점은 없음; 덜 맞는 점: 장소(집).",
        ),
    ],
)
def test_a_reason_is_said_in_the_language_spoken(
    space: FeatureSpace,
    gym_lover: BayesianPreference,
    language: str,
    gym: str,
    home: str,
) -> None:
    with translation.override(language):
        assert sentence(explained(space, gym_lover, "gym")) == gym
        assert sentence(explained(space, gym_lover, "home")) == home


@pytest.mark.parametrize(
    ("language", "said_of_it"),
    [
        (
            "en",
            "You seem to like setting gym (in 4 liked and 0 disliked)."
            " You seem to avoid setting home (in 1 liked and 5 disliked).",
        ),
        (
            "ru",
            "Похоже, вам нравится: обстановка — спортзал"
            " (на 4 понравившихся и 0 непонравившихся фото)."
            " Похоже, вам не нравится: обстановка — дом"
            " (на 1 понравившемся и 5 непонравившихся фото).",
        ),
        (
            "ko",
            "좋아하는 것 같아요: 장소: 헬스장(좋아한 사진 4장, 싫어한 사진 0장)."
            " 피하는 것 같아요: 장소: 집(좋아한 사진 1장, 싫어한 사진 5장).",
        ),
    ],
)
def test_what_was_understood_counts_in_every_language(
    space: FeatureSpace,
    gym_lover: BayesianPreference,
    language: str,
    said_of_it: str,
) -> None:
    found = wishes(space, preference=gym_lover)
    with translation.override(language):
        assert understood(found) == said_of_it


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "понравившемся"),
        (2, "понравившихся"),
        (5, "понравившихся"),
        (0, "понравившихся"),
        (11, "понравившихся"),
        (21, "понравившемся"),
    ],
)
def test_russian_counts_by_its_own_rules(count: int, words: str) -> None:
    with translation.override("ru"):
        phrase = Phrase("%(count)d liked", {"count": count}, count=count)
        assert said(phrase) == f"{count} {words}"


def test_the_same_word_is_another_one_of_another_attribute() -> None:
    with translation.override("ru"):
        assert named(Wish("hair_color", "grey", 1.0, 1, 0)) == "цвет волос: седые"
        assert named(Wish("eye_color", "grey", 1.0, 1, 0)) == "цвет глаз: серые"


def test_what_was_said_in_one_language_is_not_repeated_in_another(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    told = explained(space, gym_lover, "gym", recency=0.5)
    said_in: dict[str, str] = {}
    for language in ("en", "ru", "ko", "en", "ru"):
        with translation.override(language):
            assert sentence(told) == said_in.setdefault(language, sentence(told))
    assert len(set(said_in.values())) == 3


# Stages -------------------------------------------------------------------------------


def test_what_the_stages_add_is_said_for_and_against(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    stages = {"recency": 0.5, "reciprocity": 0.7, "exposure": -0.3}
    told = explained(space, gym_lover, "gym", **stages)
    assert sentence(told) == (
        "Similar setting (gym), like photos 1, 2, 4 and 5; they would probably like"
        " you too; active recently; but many like them already."
    )
    with translation.override("ru"):
        assert sentence(told) == (
            "Похоже: обстановка (спортзал) — как на фото 1, 2, 4 и 5; вы, скорее"
            " всего, тоже понравитесь; недавняя активность; но уже нравится многим."
        )


@pytest.mark.parametrize(
    ("stage", "amount", "words"),
    [
        ("newcomers", 0.9, "new here"),
        ("reciprocity", -0.9, "but they may not like you back"),
        ("diversity", -0.3, "but much like somebody shown before"),
        ("exploration", 0.9, "moved up by lot, to learn your taste"),
        ("exploration", -0.9, "but moved down by lot, to learn your taste"),
    ],
)
def test_every_stage_says_what_it_did(
    space: FeatureSpace,
    gym_lover: BayesianPreference,
    stage: str,
    amount: float,
    words: str,
) -> None:
    told = explained(space, gym_lover, "gym", **{stage: amount})
    assert sentence(told).endswith(f"; {words}.")


@pytest.mark.parametrize(
    "stages",
    [{"recency": 0.09}, {"exposure": -0.09}, {"recency": -1.0}, {"mystery": 1.0}],
)
def test_a_stage_that_hardly_counts_or_is_not_known_says_nothing(
    space: FeatureSpace, gym_lover: BayesianPreference, stages: dict[str, float]
) -> None:
    told = explained(space, gym_lover, "gym", **stages)
    assert sentence(told) == sentence(explained(space, gym_lover, "gym"))
    assert told.score == pytest.approx(
        explained(space, gym_lover, "gym").score + sum(stages.values())
    )


def test_an_unknown_taste_is_added_but_claims_nothing(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    features = person_features(space, [sighting(setting="gym")] * 2)
    person = Scored(features, {"reciprocity": 0.7}, unsaid=("reciprocity",))
    (told,) = explanations(space, [person], preference=gym_lover)
    assert told.groups["reciprocity"] == 0.7
    assert "like you too" not in sentence(told)


def test_the_subject_of_a_stage_is_what_it_says() -> None:
    reason = Reason(Message.NEW, "newcomers", None, 0.5, ())
    assert subject(reason) == "new here"


def test_where_people_taught_no_photo_is_named(
    space: FeatureSpace, gym_lover: BayesianPreference
) -> None:
    alike = Reason(Message.LIKE_LIKED, "setting", "gym", 0.5, ())
    other = Reason(Message.UNLIKE_DISLIKED, "eyewear", "glasses", 0.4, ())
    told = replace(explained(space, gym_lover, "gym"), reasons=(alike, other))
    assert sentence(told) == (
        "Similar setting (gym), like people you liked;"
        " different eyewear (not glasses) from people you passed."
    )


# Catalogues ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('msgid "a"\nmsgstr "b"\n\nmsgid "a"\nmsgstr "c"', "line 4: .* there twice"),
        ('msgid "a"\nmsgstr ""', "line 1: .* no translation"),
        ('#, fuzzy\nmsgid "a"\nmsgstr "b"', "line 1: a fuzzy message"),
        ("msgid a", "line 1: not understood"),
    ],
)
def test_it_refuses_a_catalogue_that_is_not_whole(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text)


def test_a_text_may_go_on_in_the_next_line() -> None:
    assert parse('# why\nmsgid ""\n"one "\n"two"\nmsgstr "3"') == {"one two": "3"}
