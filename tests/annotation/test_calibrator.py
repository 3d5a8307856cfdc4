"""A calibrated reading obeys the schema, guesses nothing, and says what is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.answers import LEAST_MASS
from annotation.calibration.calibrator import (
    AS_KEPT,
    TRUST,
    Calibrator,
    RawReading,
    options,
    table_of,
)
from annotation.calibration.content_free import MOST, neutral_images
from annotation.calibration.content_free import fit as fit_content_free
from annotation.calibration.fitting import (
    FOLDS,
    Example,
    figures,
    fit,
    fit_folds,
    fold_of,
    held_out,
    measured,
    report,
)
from annotation.calibration.scaling import Scaling
from annotation.schema import (
    BY_NAME,
    NOT_VISIBLE,
    SCHEMA,
    Attribute,
    Kind,
    problems,
    unseen,
    unseen_attributes,
)
from profiles.ingest import ingest
from tests.matching.readings import random_reading, reading

Numbers = Mapping[str, Mapping[str, float]]
HAIR = BY_NAME["hair_color"]
OBJECTS = BY_NAME["objects"]


def rounded(attributes: Numbers) -> dict[str, dict[str, float]]:
    """As rows keep them."""
    return {
        name: {value: round(p, 4) for value, p in distribution.items()}
        for name, distribution in attributes.items()
    }


def named(attributes: Numbers) -> dict[str, dict[str, float]]:
    """What a model says that names values only."""
    said = unseen_attributes()
    for attribute in SCHEMA:
        given = attributes[attribute.name]
        if attribute.kind is Kind.ONE:
            likeliest = max(given, key=given.__getitem__)
            said[attribute.name] = dict.fromkeys(given, 0.0) | {likeliest: 1.0}
        elif given[NOT_VISIBLE] < 0.5:
            values = {v: float(given[v] > 0.1) for v in attribute.values}
            said[attribute.name] = {NOT_VISIBLE: 0.0, **values}
    return said


def random_calibrator(rng: np.random.Generator) -> Calibrator:
    """Any scalings and confusions, mild and wild, of some attributes."""
    scalings, confusions = {}, {}
    for attribute in SCHEMA:
        count = len(attribute.values) + int(rng.integers(2))
        if rng.random() < 0.8:
            scale = np.exp(rng.normal(0, 2, count))
            scalings[attribute.name] = Scaling(scale, rng.normal(0, 8, count))
        if rng.random() < 0.8:
            wide = len(attribute.values) + 1
            confusions[attribute.name] = (
                rng.dirichlet([0.3] * wide, wide)
                if attribute.kind is Kind.ONE
                else rng.random((wide, 2))
            )
    for name in [a.name for a in SCHEMA if a.kind is Kind.MANY]:
        if name in scalings:  # of many values every option is covered
            wide = len(BY_NAME[name].values) + 1
            scalings[name] = Scaling(
                np.exp(rng.normal(0, 2, wide)), rng.normal(0, 8, wide)
            )
    return Calibrator.of_json(Calibrator(scalings, confusions).as_json())


seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_whatever_is_calibrated_obeys_the_schema(seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibrator = random_calibrator(rng)
    photos = [rounded(random_reading(rng)) for _ in range(4)]
    kept = [RawReading(photo) for photo in photos]
    kept += [RawReading(named(photo), one_hot=True) for photo in photos]
    kept.append(RawReading(photos[0], mass={a.name: rng.random() for a in SCHEMA}))
    for attributes in calibrator.read(kept):
        assert problems(attributes) == []


@given(seeds)
def test_photos_read_together_are_read_as_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    calibrator = random_calibrator(rng)
    kept = [RawReading(random_reading(rng), one_hot=i % 2 == 0) for i in range(4)]
    together = calibrator.read(kept)
    for one, attributes in zip(kept, together, strict=True):
        alone = calibrator.read([one])[0]
        for name, distribution in attributes.items():
            assert alone[name] == pytest.approx(distribution, abs=1e-12)


@given(seeds)
def test_without_a_calibration_probabilities_are_as_they_are(seed: int) -> None:
    photo = rounded(random_reading(np.random.default_rng(seed)))
    assert AS_KEPT.read([RawReading(photo)]) == [photo]


@given(seeds)
def test_temperature_one_and_no_bias_change_next_to_nothing(seed: int) -> None:
    photo = rounded(random_reading(np.random.default_rng(seed)))
    same = Calibrator(
        {
            a.name: Scaling(np.ones(len(options(a))), np.zeros(len(options(a))))
            for a in SCHEMA
        }
    )
    for name, distribution in same.read([RawReading(photo)])[0].items():
        assert distribution == pytest.approx(photo[name], abs=1e-3)


@pytest.mark.parametrize("calibrated", [False, True])
def test_a_refusal_is_unseen_and_never_a_guess(calibrated: bool) -> None:
    calibrator = random_calibrator(np.random.default_rng(1)) if calibrated else AS_KEPT
    photo = reading(hair_color="red", setting="gym", objects={"dog": 0.9})
    mass = {"hair_color": LEAST_MASS - 0.01, "objects": 0.0, "setting": LEAST_MASS}
    seen = calibrator.read([RawReading(photo, mass=mass)])[0]
    assert seen["hair_color"] == unseen(HAIR)
    assert seen["objects"] == unseen(OBJECTS)
    assert seen["setting"][NOT_VISIBLE] < 1


def test_what_an_annotator_cannot_see_is_never_guessed_from_the_labels() -> None:
    blind = [
        Example(RawReading(unseen_attributes()), {"hair_color": frozenset({"red"})}, 0)
    ] * 50
    sighted = [
        Example(
            RawReading(reading(hair_color={"red": 0.5})),
            {"hair_color": frozenset({"red"})},
            0,
        )
    ] * 50
    seen = fit([*blind, *sighted]).read([blind[0].reading, sighted[0].reading])
    assert seen[0]["hair_color"] == unseen(HAIR)
    assert seen[1]["hair_color"]["red"] > 0.8


def test_bias_and_temperature_do_what_their_formula_says() -> None:
    photo = reading(hair_color={"red": 0.6, "black": 0.3})
    bias = np.array([1.0, 0, 0, 0, -1.0, 0, 0, 0, 0.5])
    calibrator = Calibrator({"hair_color": Scaling(np.full(9, 0.5), bias)})
    seen = calibrator.read([RawReading(photo)])[0]["hair_color"]
    weight = {"red": 0.6**0.5 / np.e, "black": 0.3**0.5 * np.e}
    assert seen["black"] / seen["red"] == pytest.approx(weight["black"] / weight["red"])
    assert seen["red"] / seen[NOT_VISIBLE] == pytest.approx(
        weight["red"] / (0.1**0.5 * np.exp(0.5))
    )


def test_a_value_of_many_is_corrected_where_it_is_visible() -> None:
    photo = reading(objects={NOT_VISIBLE: 0.5, "dog": 0.25})
    count = len(OBJECTS.values)
    dogs = OBJECTS.values.index("dog")
    bias = np.zeros(count + 1)
    bias[[dogs, count]] = np.log(3)  # odds of 1 become odds of 3, of both
    calibrator = Calibrator({"objects": Scaling(np.ones(count + 1), bias)})
    seen = calibrator.read([RawReading(photo)])[0]["objects"]
    assert seen[NOT_VISIBLE] == pytest.approx(0.25)
    assert seen["dog"] == pytest.approx(0.75 * 0.75)
    assert seen["cat"] == pytest.approx(0.0, abs=1e-3)


def test_a_calibration_is_named_by_its_content_and_survives_json() -> None:
    one, other = (random_calibrator(np.random.default_rng(seed)) for seed in (1, 2))
    assert one.version != other.version
    again = Calibrator.of_json(one.as_json())
    assert again.version == one.version
    photo = RawReading(random_reading(np.random.default_rng(3)))
    assert again.read([photo]) == one.read([photo])


# Only named ---------------------------------------------------------------------------


def test_what_is_only_named_is_trusted_so_far_and_the_rest_is_unseen() -> None:
    photo = reading(hair_color="red", objects={"dog": 1.0})
    seen = AS_KEPT.read([RawReading(photo, one_hot=True)])[0]
    assert problems(seen) == []
    assert seen["hair_color"]["red"] == pytest.approx(TRUST)
    assert seen["hair_color"][NOT_VISIBLE] == pytest.approx(1 - TRUST)
    assert seen["objects"]["dog"] == pytest.approx(TRUST)
    assert seen["objects"]["cat"] == 0
    assert seen["setting"] == pytest.approx(unseen(BY_NAME["setting"]))


def test_labels_say_how_far_a_name_is_to_be_trusted() -> None:
    said = RawReading(named(reading(hair_color="red")), one_hot=True)
    truth = ["red"] * 60 + ["blonde"] * 40
    examples = [Example(said, {"hair_color": frozenset({t})}, 0) for t in truth]
    seen = fit(examples).read([said, replace(said, one_hot=False)])
    assert seen[0]["hair_color"]["red"] == pytest.approx(0.6, abs=0.05)
    assert seen[0]["hair_color"]["blonde"] == pytest.approx(0.4, abs=0.05)
    assert seen[1]["hair_color"]["red"] == 1.0  # probabilities have their own


def test_labels_say_how_far_a_yes_and_a_no_are_to_be_trusted() -> None:
    dog = RawReading(named(reading(objects={"dog": 1.0})), one_hot=True)
    none = RawReading(named(reading(objects={"cat": 1.0})), one_hot=True)
    there, nothing = frozenset({"dog"}), frozenset[str]()
    examples = [
        *[Example(dog, {"objects": there}, 0)] * 90,
        *[Example(dog, {"objects": nothing}, 0)] * 10,
        *[Example(none, {"objects": there}, 0)] * 20,
        *[Example(none, {"objects": nothing}, 0)] * 80,
    ]
    yes, no = (seen["objects"] for seen in fit(examples).read([dog, none]))
    assert yes["dog"] == pytest.approx(0.9, abs=0.05)
    assert no["dog"] == pytest.approx(0.2, abs=0.05)


# Labels -------------------------------------------------------------------------------

SHARES = np.array([0.3, 0.25, 0.05, 0.15, 0.05, 0.1, 0.02, 0.03, 0.05])


def crooked(rng: np.random.Generator, count: int) -> list[Example]:
    """Photos whose hair is judged with a bias, and twice as surely as is right."""
    true = rng.choice(9, size=count, p=SHARES)
    evidence = rng.normal(size=(count, 9))
    evidence[np.arange(count), true] += 2
    logits = 2 * (2 * evidence + np.log(SHARES) + [0, -1, 1, 0, 2, 0, 0, 1, -1])
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    names = options(HAIR)
    return [
        Example(
            RawReading(
                rounded(
                    unseen_attributes()
                    | {"hair_color": dict(zip(names, row, strict=True))}
                )
            ),
            {"hair_color": frozenset({names[t]})},
            fold_of(str(i)),
        )
        for i, (row, t) in enumerate(zip(p.tolist(), true, strict=True))
    ]


def likelihoods(examples: list[Example]) -> tuple[float, float]:
    """Negative log-likelihood before and after, on photos held out."""
    before = measured(examples, held_out(examples, [AS_KEPT] * FOLDS))
    after = measured(examples, held_out(examples, fit_folds(examples)))
    overall = report(before, after)["overall"]
    return overall["before"]["nll"], overall["after"]["nll"]


def test_labels_make_probabilities_truer_on_photos_held_out() -> None:
    examples = crooked(np.random.default_rng(5), 400)
    before = measured(examples, held_out(examples, [AS_KEPT] * FOLDS))
    after = measured(examples, held_out(examples, fit_folds(examples)))
    overall = report(before, after)["overall"]
    assert overall["labels"] == 400
    assert overall["after"]["nll"] < 0.8 * overall["before"]["nll"]
    assert overall["after"]["ece"] < 0.5 * overall["before"]["ece"]
    assert overall["after"]["accuracy"] > overall["before"]["accuracy"]


def test_a_handful_of_labels_changes_little() -> None:
    examples = crooked(np.random.default_rng(6), 3)
    fitted = fit(examples).scalings["hair_color"]
    assert np.abs(fitted.bias).max() < 0.5
    assert np.abs(np.log(fitted.scale)).max() < 0.5
    before, after = likelihoods(crooked(np.random.default_rng(7), 12))
    assert after < 1.2 * before


def test_a_photo_is_held_out_with_all_its_labels() -> None:
    """The fold's calibrator is what one gets without the fold's photos."""
    examples = crooked(np.random.default_rng(8), 60)
    folds = fit_folds(examples)
    for fold in range(FOLDS):
        others = [e for e in examples if e.fold != fold]
        assert folds[fold].version == fit(others).version
        assert folds[fold].version != fit(examples).version


def test_a_photo_stays_in_its_fold() -> None:
    folds = [fold_of(str(i)) for i in range(1000)]
    assert folds == [fold_of(str(i)) for i in range(1000)]
    assert min(np.bincount(folds, minlength=FOLDS)) > 150


def test_a_label_of_two_values_does_not_choose_between_them() -> None:
    photo = RawReading(reading(hair_color={"red": 0.3, "blonde": 0.3, "black": 0.4}))
    either = {"hair_color": frozenset({"red", "blonde"})}
    seen = fit([Example(photo, either, 0)] * 80).read([photo])[0]["hair_color"]
    assert seen["red"] + seen["blonde"] > 0.9
    assert seen["red"] / seen["blonde"] == pytest.approx(1)


def test_labels_that_say_not_visible_lower_what_is_seen() -> None:
    photo = RawReading(reading(objects={"dog": 0.6}, hair_color={"red": 0.8}))
    hidden = dict.fromkeys(("objects", "hair_color"), frozenset({NOT_VISIBLE}))
    seen = fit([Example(photo, hidden, 0)] * 80).read([photo])[0]
    assert seen["objects"][NOT_VISIBLE] > 0.8
    assert seen["hair_color"][NOT_VISIBLE] > 0.8


def outcomes_of(attribute: Attribute, photo: RawReading, *allowed: str) -> dict:  # type: ignore[type-arg]
    examples = [Example(photo, {attribute.name: frozenset(allowed)}, 0)]
    found = measured(examples, AS_KEPT.read([photo]))
    return figures(found[attribute.name])


def test_figures_are_those_one_works_out_by_hand() -> None:
    photo = RawReading(reading(hair_color={"red": 0.7, "blonde": 0.3}))
    right = outcomes_of(HAIR, photo, "red")
    assert right["nll"] == pytest.approx(-np.log(0.7), abs=1e-4)
    assert right["ece"] == pytest.approx(0.3)
    assert right["accuracy"] == 1
    assert right["bins"] == [{"said": 0.7, "came": 1.0, "labels": 1.0}]
    assert outcomes_of(HAIR, photo, "blonde")["ece"] == pytest.approx(0.7)
    either = outcomes_of(HAIR, photo, "red", "blonde")
    assert (either["nll"], either["accuracy"]) == (0, 1)
    assert (either["ece"], either["bins"]) == (None, [])
    assert outcomes_of(HAIR, photo, "black")["nll"] < 10  # bounded


def test_an_attribute_of_many_counts_as_one_label() -> None:
    photo = RawReading(reading(objects={"dog": 0.8}))
    seen = outcomes_of(OBJECTS, photo, "dog")
    asked = len(OBJECTS.values) + 1
    assert seen["nll"] == pytest.approx(-np.log(0.8) / asked, abs=1e-4)
    assert sum(b["labels"] for b in seen["bins"]) == pytest.approx(1, abs=1e-3)
    assert outcomes_of(OBJECTS, photo, NOT_VISIBLE)["accuracy"] == 0


def test_a_refusal_is_not_counted_as_an_answer() -> None:
    photo = RawReading(reading(hair_color="red"), mass={"hair_color": 0.01})
    example = Example(photo, {"hair_color": frozenset({"red"})}, 0)
    assert measured([example], AS_KEPT.read([photo])) == {}
    assert fit([example]) == AS_KEPT


# Content-free -------------------------------------------------------------------------


def of_hair(not_visible: float, **share: float) -> RawReading:
    values = {name: (1 - not_visible) * p for name, p in share.items()}
    rest = (1 - not_visible - sum(values.values())) / (8 - len(values))
    hair = dict.fromkeys(HAIR.values, rest) | values | {NOT_VISIBLE: not_visible}
    return RawReading(unseen_attributes() | {"hair_color": hair})


def test_what_a_model_prefers_without_content_is_divided_out() -> None:
    neutral = [of_hair(0.9, black=0.3), of_hair(0.7, black=0.3)]
    calibrator = fit_content_free(neutral)
    seen = calibrator.read(neutral)
    values = table_of(HAIR, [one["hair_color"] for one in seen])[:, :-1]
    assert np.allclose(values, values[:, :1])  # no value is preferred any more
    bias = calibrator.scalings["hair_color"].bias
    assert bias.sum() == pytest.approx(0)
    assert set(calibrator.scalings) == {"hair_color"}


def test_an_empty_photo_looks_no_less_empty_than_before() -> None:
    neutral = [of_hair(0.95, black=0.6)]
    calibrator = fit_content_free(neutral)
    photos = [of_hair(0.95, black=0.6), of_hair(0.2, red=0.9), of_hair(1.0)]
    for photo, seen in zip(photos, calibrator.read(photos), strict=True):
        before = photo.attributes["hair_color"][NOT_VISIBLE]
        assert seen["hair_color"][NOT_VISIBLE] == before
        assert problems(seen) == []


def test_no_preference_is_believed_without_bounds() -> None:
    calibrator = fit_content_free([of_hair(0.5, black=1.0)])
    assert np.abs(calibrator.scalings["hair_color"].bias).max() <= MOST


def test_attributes_of_many_values_wait_for_labels() -> None:
    calibrator = fit_content_free([RawReading(reading(objects={"dog": 0.4}))])
    assert calibrator == AS_KEPT
    assert fit_content_free([RawReading(reading(hair_color="red"), one_hot=True)]) == (
        AS_KEPT
    )


def test_neutral_pictures_are_photos_without_content() -> None:
    images = neutral_images()
    assert len(set(images)) == len(images) == 9
    assert images == neutral_images()
    for image in images:
        assert ingest(image).width == 336
