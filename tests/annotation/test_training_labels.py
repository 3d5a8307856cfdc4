"""What a data set's label can mean, and what it leaves open."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from annotation.evaluation import labels
from annotation.evaluation.labels import UNKNOWN, Targets
from annotation.schema import BY_NAME, NOT_VISIBLE, problems
from annotation.small.heads import (
    FACE_HEADS,
    HEADS,
    PHOTO_HEADS,
    SPREAD,
    WIDTH,
    Answers,
    Head,
    readings,
    slices,
)
from annotation.training import further

CELEBA_NAMES = (
    "5_o_Clock_Shadow Bald Black_Hair Blond_Hair Brown_Hair Eyeglasses Goatee "
    "Gray_Hair Heavy_Makeup Mouth_Slightly_Open Mustache No_Beard Smiling "
    "Straight_Hair Wavy_Hair Wearing_Earrings Wearing_Hat Wearing_Lipstick "
    "Wearing_Necklace Wearing_Necktie"
).split()

Allowed = Callable[..., set[str]]


def said(targets: Targets, heads: tuple[Head, ...], name: str) -> dict[str, int]:
    head = next(head for head in heads if head.name == name)
    part = targets[slices(heads)[name]]
    return dict(zip(head.classes, part.tolist(), strict=True))


@pytest.fixture
def celeba() -> Allowed:
    """The classes of a head that a face with these CelebA labels can mean."""

    def allowed(head: str, *true: str) -> set[str]:
        row = {name: name in true for name in CELEBA_NAMES}
        found = said(labels.celeba_face(row), FACE_HEADS, head)
        return {name for name, value in found.items() if value == 1}

    return allowed


def test_eyeglasses_can_be_sunglasses(celeba: Allowed) -> None:
    assert celeba("eyewear", "Eyeglasses") == {"glasses", "sunglasses"}
    assert celeba("eyewear") == {"none"}


def test_two_hair_colours_leave_the_choice_open(celeba: Allowed) -> None:
    both = celeba("hair_color", "Black_Hair", "Brown_Hair")
    assert both == {"black", "brown"}


def test_hair_without_a_colour_is_unnamed_but_hidden_under_a_hat(
    celeba: Allowed,
) -> None:
    assert celeba("hair_color") == {"unnamed"}
    assert celeba("hair_color", "Wearing_Hat") == {"hidden"}


def test_a_beard_that_is_neither_goatee_nor_moustache_is_a_beard_or_stubble(
    celeba: Allowed,
) -> None:
    assert celeba("facial_hair") == {"beard"}
    assert set(SPREAD["facial_hair"]["beard"]) == {"full_beard", "stubble"}
    assert celeba("facial_hair", "5_o_Clock_Shadow") == {"stubble"}
    assert celeba("facial_hair", "No_Beard") == {"none"}
    assert celeba("facial_hair", "No_Beard", "Mustache") == {"moustache"}


def test_two_labels_that_are_true_together_leave_no_choice(celeba: Allowed) -> None:
    both = celeba("facial_hair", "Mustache", "Goatee")
    assert both == {"moustache_goatee"}
    assert set(SPREAD["facial_hair"][both.pop()]) == {"moustache", "goatee"}
    both = celeba("hair_color", "Bald", "Gray_Hair")
    assert both == {"grey_bald"}
    assert set(SPREAD["hair_color"][both.pop()]) == {"grey", "bald"}
    assert celeba("hair_color", "Bald", "Black_Hair") == {"bald", "black"}


def test_a_smile_with_an_open_mouth_may_be_a_laugh(celeba: Allowed) -> None:
    assert celeba("expression", "Smiling", "Mouth_Slightly_Open") == {"open_smile"}
    assert set(SPREAD["expression"]["open_smile"]) == {"smile", "laugh"}


def test_a_face_close_up_says_nothing_of_garments() -> None:
    row = dict.fromkeys(CELEBA_NAMES, False)
    targets = labels.celeba_photo(row)
    garments = said(targets, PHOTO_HEADS, "clothing_items")
    assert set(garments.values()) == {UNKNOWN}
    assert said(targets, PHOTO_HEADS, "dressed") == {"clothing": 0}


def test_street_photo_tags_say_what_is_worn_and_leave_near_synonyms_open() -> None:
    garments = said(
        labels.ccp_photo({"blazer", "pants"}), PHOTO_HEADS, "clothing_items"
    )
    assert garments["jacket"] == 1
    assert garments["trousers"] == 1
    assert garments["suit"] == garments["jeans"] == UNKNOWN
    assert garments["dress"] == 0


def test_a_dress_is_no_suit_but_may_go_with_a_coat() -> None:
    answers = dict.fromkeys(
        ["gender", "necktie", "scarf", *labels._STANFORD_PATTERNS.values()], ""
    )
    garments = said(
        labels.stanford_photo(answers | {"category": "7.0"}),
        PHOTO_HEADS,
        "clothing_items",
    )
    assert (garments["dress"], garments["suit"]) == (1, 0)
    assert garments["coat"] == UNKNOWN


def test_whether_a_shirt_is_one_does_not_hang_on_who_wears_it() -> None:
    answers = dict.fromkeys(
        ["necktie", "scarf", *labels._STANFORD_PATTERNS.values()], ""
    )
    women, men = (
        labels.stanford_photo(answers | {"category": "1.0", "gender": gender})
        for gender in ("2.0", "1.0")
    )
    assert women.tolist() == men.tolist()
    garments = said(men, PHOTO_HEADS, "clothing_items")
    assert (garments["shirt"], garments["blouse"]) == (1, UNKNOWN)


def test_patterns_nobody_agreed_on_stay_possible() -> None:
    answers = dict.fromkeys(labels._STANFORD_PATTERNS.values(), "1.0")
    rest = {"gender": "", "category": "", "necktie": "2.0", "scarf": "1.0"}
    targets = labels.stanford_photo(answers | rest | {"pattern_spot": ""})
    patterns = said(targets, PHOTO_HEADS, "clothing_pattern")
    assert {name for name, value in patterns.items() if value} == {"dotted"}
    worn = said(targets, PHOTO_HEADS, "accessories")
    assert (worn["necktie"], worn["scarf"], worn["bag"]) == (1, 0, UNKNOWN)


def test_further_labels_stay_unknown_where_a_data_set_does_not_ask() -> None:
    street = dict(zip(further.OF_CLOTHES, further.ccp({"boots"}), strict=True))
    assert (street["boots"], street["heels"]) == (1, 0)
    assert street["collar 2.0"] == UNKNOWN
    asked = [name.split() for name in further.OF_CLOTHES if " " in name]
    answers = {name: "" for name, _ in asked} | {"neckline": "2.0", "collar": "1.0"}
    shop = dict(zip(further.OF_CLOTHES, further.stanford(answers), strict=True))
    assert (shop["neckline 2.0"], shop["neckline 3.0"], shop["collar 2.0"]) == (1, 0, 0)
    assert shop["boots"] == shop["red 2.0"] == UNKNOWN


def test_gender_and_age_are_never_learned() -> None:
    names = {name.split()[0].lower() for name in further.OF_FACES + further.OF_CLOTHES}
    assert not names & {"male", "young", "gender", "attractive"}


@pytest.mark.parametrize(("pixels", "target"), [(60, 1), (22, UNKNOWN), (12, 0)])
def test_a_face_of_a_few_pixels_shows_no_details(pixels: int, target: int) -> None:
    assert labels.detail_target(pixels) == target


def test_every_label_hands_out_all_its_mass_to_values_of_the_schema() -> None:
    for name, table in SPREAD.items():
        head = next(head for head in HEADS if head.name == name)
        assert set(table) == set(head.classes)
        values = {*BY_NAME[name].values, NOT_VISIBLE, "brown"}
        for shares in table.values():
            assert set(shares) <= values
            assert sum(shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("attribute", ["hair_color", "hair_texture"])
def test_what_could_have_been_named_and_was_not_is_not_so(attribute: str) -> None:
    head = next(head for head in HEADS if head.name == attribute)
    for label in ("unnamed", "hidden"):
        assert not set(SPREAD[attribute][label]) & set(head.classes)


@pytest.mark.parametrize("attribute", ["hair_color", "hair_texture"])
def test_what_hats_leave_to_be_seen_is_as_unnamed_as_elsewhere(attribute: str) -> None:
    unnamed, hidden = (SPREAD[attribute][label] for label in ("unnamed", "hidden"))
    seen = 1 - hidden[NOT_VISIBLE]
    assert 0 < seen < 0.05
    for value in set(unnamed) - {NOT_VISIBLE}:
        share = unnamed[value] / (1 - unnamed[NOT_VISIBLE])
        assert hidden[value] / seen == pytest.approx(share)


def test_any_answers_make_a_valid_reading() -> None:
    rng = np.random.default_rng(3)
    chances = rng.random((50, WIDTH), np.float32)
    for head in HEADS:
        part = slices(HEADS)[head.name]
        if head.exclusive:
            chances[:, part] /= chances[:, part].sum(1, keepdims=True)
    found = readings(
        Answers(chances, rng.random(50, np.float32), rng.random(50, np.float32))
    )
    assert [problem for reading in found for problem in problems(reading)] == []


def test_grey_and_bald_is_bald_and_has_hair_of_no_length() -> None:
    chances = np.zeros((1, WIDTH), np.float32)
    chances[:, slices(HEADS)["presence"]] = 1
    color = next(head for head in HEADS if head.name == "hair_color")
    place = slices(HEADS)["hair_color"].start + color.classes.index("grey_bald")
    chances[:, place] = 1
    half = np.full(1, 0.5, np.float32)
    reading = readings(Answers(chances, half, half))[0]
    assert reading["hair_length"]["bald"] == 1
    assert reading["hair_color"]["grey"] == reading["hair_color"]["bald"] == 0.5


def test_what_is_no_face_has_no_facial_attributes() -> None:
    chances = np.full((1, WIDTH), 0.5, np.float32)
    chances[:, slices(HEADS)["presence"]] = 0
    half = np.full(1, 0.5, np.float32)
    reading = readings(Answers(chances, half, half))[0]
    for head in ("hair_color", "makeup", "headwear", "hair_length"):
        assert reading[head][NOT_VISIBLE] == 1


def test_a_close_up_that_ends_at_the_chin_shows_no_clothes() -> None:
    chances = np.full((2, WIDTH), 0.99, np.float32)
    whole, close_up = readings(
        Answers(chances, np.full(2, 0.5, np.float32), np.array([1, 0], np.float32))
    )
    assert whole["clothing_items"]["shirt"] > 0.9
    assert close_up["clothing_items"][NOT_VISIBLE] > 0.95
