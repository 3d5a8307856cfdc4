"""What all like counts as much as it helps those who have shown a few photos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from matching.features import WIDTH, FloatArray
from matching.preference import Prior, cold_prior, sigmoid
from matching.preference import shrinkage as module
from matching.preference.learning import learn_prior
from matching.preference.mean import common_taste
from matching.preference.raters import Rater
from matching.preference.shrinkage import SHARES, shrunk

PHOTOS, LABELS, PEOPLE = 500, 60, 40
TASTE = np.where(np.arange(WIDTH) < 3, 1.5, 0.0)  # of everybody, but for chance


@pytest.fixture(scope="module")
def photos() -> FloatArray:
    return np.random.default_rng(0).normal(size=(PHOTOS, WIDTH)) * (TASTE + 0.01)


@pytest.fixture(scope="module")
def raters(photos: FloatArray) -> list[Rater]:
    rng = np.random.default_rng(1)
    shown = [photos[rng.choice(PHOTOS, LABELS, replace=False)] for _ in range(PEOPLE)]
    return [Rater.of(x, liked=rng.random(LABELS) < sigmoid(x @ TASTE)) for x in shown]


def believed(mean: FloatArray) -> Prior:
    return replace(cold_prior(), mean=mean)


@pytest.mark.parametrize(("common", "share"), [(TASTE, 1.0), (-TASTE, 0.0)])
def test_what_misleads_those_who_show_ten_photos_counts_less(
    raters: list[Rater],
    monkeypatch: pytest.MonkeyPatch,
    common: FloatArray,
    share: float,
) -> None:
    monkeypatch.setattr(module, "common_taste", lambda _: common)
    assert (shrunk(believed(common), raters).mean == share * common).all()


def test_what_all_like_stays_in_the_prior_that_is_learned(raters: list[Rater]) -> None:
    common = common_taste(raters)
    assert common[:3].min() > 0.5
    assert learn_prior(raters).mean == pytest.approx(common)


def test_a_prior_that_is_learned_is_shrunk(
    raters: list[Rater], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_best", lambda found: 0.25)
    shrunken = learn_prior(raters).mean
    assert shrunken == pytest.approx(0.25 * common_taste(raters))


def test_it_is_asked_of_people_and_photos_that_the_mean_was_not_learned_from(
    raters: list[Rater], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each of the photos of the one half, the last five liked and disliked known."""
    owners = [{x.tobytes() for x in rater.examples} for rater in raters]
    taught: dict[bytes, tuple[set[int], set[bytes]]] = {}
    asked: list[Rater] = []

    def watched(telling: list[Rater]) -> FloatArray:
        shown = [{x.tobytes() for x in rater.examples} for rater in telling]
        whose = {n for one in shown for n, own in enumerate(owners) if one <= own}
        mean = TASTE * (1 + len(taught) / 8)
        taught[mean.tobytes()] = whose, set[bytes]().union(*shown)
        return mean

    def aucs(prior: Prior, known: Rater, ranked: Rater) -> FloatArray:
        people, photos = taught[prior.mean.tobytes()]
        ours = {x.tobytes() for x in ranked.examples}
        assert not ours & photos
        (owner,) = [n for n, own in enumerate(owners) if ours <= own]
        assert owner not in people
        asked.append(known)
        return np.zeros(len(SHARES))

    monkeypatch.setattr(module, "common_taste", watched)
    monkeypatch.setattr(module, "_aucs", aucs)
    shrunk(believed(TASTE), raters)
    assert len(asked) == 2 * PEOPLE
    for kind in True, False:
        assert max((one.liked == kind).sum() for one in asked) == module.KNOWN


def test_the_few_labels_of_somebody_are_their_last_that_count() -> None:
    photos = np.arange(6.0)[:, None] * np.ones(WIDTH)
    weights = [1, 1, 1, 1, 0, 0.5]
    rater = Rater.of(photos, liked=[1, 1, 0, 0, 1, 0], weights=weights)
    assert rater.few(1).examples[:, 0].tolist() == [1, 5]
    assert rater.few(9).examples[:, 0].tolist() == [0, 1, 2, 3, 5]


@pytest.mark.parametrize(
    ("found", "share"),
    [
        ([[0.6, 0.6, 0.5, 0.5, 0.5]] * 4, 1.0),
        ([[0.5, 0.6, 0.7, 0.6, 0.5]] * 4, 0.25),
        ([[0.5, 0.5, 0.5, 0.5, 0.6]] * 4, 0.0),
        # The best leads by 0.01, and that by chance.
        ([[0.7, 0.5, 0.5, 0.5, 0.6], [0.5, 0.5, 0.5, 0.5, 0.62]], 1.0),
        # As much behind in each: an error of 0.
        ([[0.5, 0.6, 0.6, 0.6, 0.61]] * 4, 0.0),
    ],
)
def test_of_shares_that_are_as_good_the_largest_is_taken(
    found: list[list[float]], share: float
) -> None:
    assert module._best(np.array(found)) == share


def test_with_hardly_anybody_to_ask_it_stays_as_it_is(
    raters: list[Rater], monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = [Rater.of(rater.examples[:1], liked=[1]) for rater in raters]
    monkeypatch.setattr(module, "common_taste", lambda _: -TASTE)
    for few in (silent, raters[: module.LEAST_TESTED - 1], raters[:1], []):
        assert (shrunk(believed(TASTE), few).mean == TASTE).all()


def test_means_of_nothing_tell_nothing(
    raters: list[Rater], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "common_taste", lambda _: 0 * TASTE)
    assert (shrunk(believed(-TASTE), raters).mean == -TASTE).all()
    assert module._asked(raters[0], [believed(0 * TASTE)] * 2) is None
    assert module._asked(raters[0], [believed(0 * TASTE), believed(TASTE)]) is not None


def test_a_prior_without_a_mean_is_not_touched(raters: list[Rater]) -> None:
    prior = cold_prior()
    assert shrunk(prior, raters) is prior


def test_one_draw_divides_what_another_has_divided(raters: list[Rater]) -> None:
    theirs, ours = raters[0].divided(0)
    assert len(theirs.liked) + len(ours.liked) == LABELS
    assert not {x.tobytes() for x in theirs.examples} & {
        x.tobytes() for x in ours.examples
    }
    assert len(ours.divided(0)[0].liked) == 0
    assert all(len(part.liked) > 0 for part in ours.divided(0, draw=1))
