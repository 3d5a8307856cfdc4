"""The simulated market: right figures, the product's own ranking, and who gains."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import market as command
from bench._market.arms import ALL, ONE_SIDED, RECIPROCITY, arms, only
from bench._market.days import History, Replay, replay
from bench._market.figures import figures
from bench._market.habits import ABSENT, WAVES
from bench._market.learned import Learned, cold_priors
from bench._market.population import Assumptions, Market, draw
from bench._market.stages import Found, page
from matching.features import WIDTH
from matching.preference import LinearPreference, Prior
from matching.ranking.base import Candidate, rank
from matching.ranking.stages import Weights, build
from matching.seeding import sources

PEOPLE, DAYS = 120, 3


def market_of(seed: int = 0, *, people: int = PEOPLE, **assumed: Any) -> Market:
    """A small market of people who differ in six features only."""
    rng = np.random.default_rng(seed)
    features = np.zeros((people, WIDTH))
    features[:, 300:900:100] = rng.standard_normal(
        (people, len(range(300, WIDTH, 100)))
    )
    genders = np.resize(np.array(["man", "woman"]), people)
    assumptions = Assumptions(**{"candidates": people, **assumed})
    return draw(features, genders, days=DAYS, assumptions=assumptions, rng=rng)


def figures_of(market: Market, weights: Weights) -> dict[str, float]:
    return figures(market, replay(market, cold_priors(market), weights))


@pytest.fixture(scope="module")
def market() -> Market:
    return market_of()


# Who is there ------------------------------------------------------------------------


def test_only_those_who_seek_each_other_may_meet(market: Market) -> None:
    assert (market.eligible == market.eligible.T).all()
    assert not market.eligible.diagonal().any()
    assert not market.likes[~market.eligible].any()


def test_people_like_as_many_as_is_assumed() -> None:
    market = market_of(
        people=400,
        like_rate=0.1,
        like_rate_of_men=0.4,
        choosiness_spread=0.0,
        choosy_when_popular=0.0,
    )
    men = np.arange(400) % 2 == 0
    for own, rate in ((men, 0.4), (~men, 0.1)):
        liked = market.likes[own][market.eligible[own]].mean()
        assert liked == pytest.approx(rate, abs=0.01)


@pytest.mark.parametrize(("shared", "least", "most"), [(0.0, 0.0, 0.12), (1.0, 0.2, 1)])
def test_shared_taste_makes_some_more_popular_than_others(
    shared: float, least: float, most: float
) -> None:
    market = market_of(people=400, shared=shared, unseen=0.0, same_gender=0.0)
    liked = market.likes.sum(axis=0) / market.eligible.sum(axis=0)
    assert least < liked.std() < most


def test_people_come_after_they_join_and_the_dormant_never_do() -> None:
    market = market_of(people=300, newcomers=0.5, dormant=0.5)
    comes = market.wave != ABSENT
    assert comes.any()
    assert market.wave.max() < WAVES
    assert not comes[np.arange(DAYS)[:, None] < market.joined].any()
    new = market.joined > 0
    assert comes[market.joined[new], np.flatnonzero(new)].all()
    assert (~comes.any(axis=0))[~new].mean() > 0.5
    assert (market.last_active[~new] <= 0).all()


def test_the_same_seed_is_the_same_market_and_the_same_days() -> None:
    weights = Weights()
    one, other = (figures_of(market_of(seed=3, people=60), weights) for _ in "ab")
    assert one == other


# How they are ranked -----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_pages_are_those_of_the_product(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = Weights(
        reciprocity=rng.uniform(0, 2),
        recency=rng.uniform(0, 2),
        exposure=rng.uniform(0, 3),
        exposure_cap=rng.uniform(0.1, 2),
        diversity=rng.choice([0.0, 2.0]),
        newcomers=rng.choice([0.0, 3.0]),
        newcomer_days=5,
        newcomer_impressions=20,
    )
    candidates = candidates_of(rng, 80)
    width = np.ones(WIDTH)
    taste = LinearPreference(
        prior=Prior(mean=rng.standard_normal(WIDTH) / 10, variance=0 * width),
        examples=np.zeros((0, WIDTH)),
        liked=np.zeros(0, dtype=np.bool_),
        credits=np.zeros(0),
        importance=width,
    )
    stages = build(weights, preference=taste, seed="")
    ranked = rank(candidates, preference=taste, stages=stages)
    expected = [int(one.candidate.id) for one in ranked[:10]]
    found = found_of(candidates, taste)
    assert page(found, weights, size=10).tolist() == expected


def candidates_of(rng: np.random.Generator, count: int) -> list[Candidate]:
    return [
        Candidate(
            id=f"{i:03d}",
            features=rng.standard_normal(WIDTH),
            liked_back=float(rng.normal()),
            inactive_days=float(rng.exponential(10)),
            expected_likes=float(rng.exponential(1)),
            impressions=int(rng.integers(40)),
            age_days=float(rng.uniform(0, 10)),
        )
        for i in range(count)
    ]


def found_of(candidates: list[Candidate], taste: LinearPreference) -> Found:
    x = np.stack([c.features for c in candidates])
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    return Found(
        preference=taste.score(x),
        liked_back=np.array([c.liked_back for c in candidates], dtype=float),
        inactive_days=np.array([c.inactive_days for c in candidates]),
        expected_likes=np.array([c.expected_likes for c in candidates]),
        impressions=np.array([c.impressions for c in candidates]),
        age_days=np.array([c.age_days for c in candidates]),
        alike=(units @ units.T).astype(np.float32),
    )


def test_every_arm_has_reciprocity_and_one_more_stage() -> None:
    weights = Weights(diversity=0.0)
    compared = arms(weights)
    named = {ONE_SIDED, RECIPROCITY, "+recency", "+exposure", "+newcomers", ALL}
    assert set(compared) == named
    assert compared["+recency"].reciprocity == weights.reciprocity
    assert compared["+recency"].exposure == compared[ONE_SIDED].reciprocity == 0
    assert compared[ALL] == weights


# What happens ------------------------------------------------------------------------


def test_nobody_sees_somebody_twice_or_whom_they_may_not(market: Market) -> None:
    done = Replay(market, cold_priors(market), Weights())
    history = done.run()
    viewer, person, day, _ = history.shown.T
    assert market.eligible[viewer, person].all()
    assert (market.joined[person] <= day).all()
    assert len({*zip(viewer.tolist(), person.tolist(), strict=True)}) == len(viewer)
    known = [
        np.isin(person[viewer == i], np.concatenate([market.anchors[i], judged])).any()
        for i, judged in enumerate(market.judged)
    ]
    assert not any(known)


def test_a_match_is_a_like_of_both_after_one_was_shown(market: Market) -> None:
    history = replay(market, cold_priors(market), Weights())
    one, other, day = history.matches.T
    assert len(one)
    assert (market.likes[one, other] & market.likes[other, one]).all()
    pairs = [frozenset(pair) for pair in history.matches[:, :2].tolist()]
    assert len(set(pairs)) == len(pairs)
    first: dict[frozenset[int], int] = {}
    for viewer, person, shown, _ in history.shown.tolist():
        first.setdefault(frozenset((viewer, person)), shown)
    assert all(first[p] <= d for p, d in zip(pairs, day.tolist(), strict=True))


def test_somebody_who_answers_nobody_matches_only_whom_they_see(
    market: Market,
) -> None:
    deaf = replace(market, assumptions=replace(market.assumptions, answers=0))
    history = replay(deaf, cold_priors(deaf), Weights())
    shown = {*map(tuple, history.shown[:, :2].tolist())}
    for one, other, _ in history.matches.tolist():
        assert {(one, other), (other, one)} <= shown


def test_who_likes_more_often_is_expected_to_like_back() -> None:
    market = market_of(choosiness_spread=2.0)
    learned = Learned(market, cold_priors(market))
    truly = market.likes.sum(axis=1) / market.eligible.sum(axis=1)
    asked = market.joined == 0
    assert np.corrcoef(learned.rates()[asked], truly[asked])[0, 1] > 0.7
    taste = market.features @ learned.weights.T
    back = learned.liked_back(np.arange(PEOPLE))
    assert back == pytest.approx(taste + learned.rates(), abs=1e-4)


def test_reciprocity_finds_more_who_like_back_than_a_one_sided_ranking() -> None:
    market = market_of(people=240, judged_before=40)
    one_sided = figures_of(market, only(Weights()))
    both = figures_of(market, only(Weights(), RECIPROCITY))
    assert both["success_at_10"] > 1.2 * one_sided["success_at_10"]
    assert both["liked_at_10"] < one_sided["liked_at_10"]


def test_a_cap_on_expected_likes_shares_them_out(market: Market) -> None:
    free = figures_of(market, only(Weights()))
    capped = only(Weights(exposure=3.0, exposure_cap=0.1), "exposure")
    assert figures_of(market, capped)["exposure_gini"] < 0.9 * free["exposure_gini"]


# What it comes to --------------------------------------------------------------------


def test_figures_are_those_of_a_history_counted_by_hand() -> None:
    likes = np.zeros((4, 4), dtype=np.bool_)
    likes[0, 2] = likes[2, 0] = likes[0, 3] = likes[1, 2] = True
    there = replace(
        market_of(people=40),
        likes=likes,
        joined=np.array([0, 0, 0, 1]),
        features=np.zeros((4, WIDTH), dtype=np.float32),
        wave=np.array([[0, 0, 0, ABSENT], [0, 0, 0, 0], [ABSENT] * 4, [ABSENT] * 4]),
    )
    shown = np.array([[0, 2, 0, 0], [0, 3, 1, 1], [1, 2, 0, 0], [3, 0, 1, 10]])
    history = History(shown=shown, matches=np.array([[2, 0, 1]]))
    found = figures(there, history)
    assert found["success_at_10"] == pytest.approx(1 / 3)
    assert found["liked_at_10"] == 1
    assert found["matches_per_person"] == found["matches_if_all_answered"] == 0.5
    assert found["unmatched"] == 0.5
    assert found["shown_in_vain"] == 0
    # They were shown 1/4, 0, 2/4 and 1/3 times a day.
    assert found["exposure_gini"] == pytest.approx(19 / 52)
    assert found["newcomers_success_at_10"] == 0
    assert found["newcomers_exposure"] == pytest.approx((1 / 3) / (3 / 12))
    assert found["newcomers_days_to_match"] == 2


# The command -------------------------------------------------------------------------


def test_the_benchmark_prints_one_line(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings.TRAINING_DATA = tmp_path / "no-data"
    monkeypatch.setenv("TWINBY_STATE", str(tmp_path / "state"))
    everybody = sources.london
    monkeypatch.setattr(sources, "london", lambda folder: islice(everybody(folder), 10))
    arguments = "--people 40 --days 2 --seeds 2 --prior cold"
    arguments += " --weights diversity=0 --assume like_rate=0.5"
    monkeypatch.setattr(sys, "argv", ["market", *arguments.split()])
    command.main()
    out, err = capsys.readouterr()
    answer = json.loads(out)
    assert answer["benchmark"] == "market"
    assert (answer["people"], answer["source"]) == (40, "london")
    assert answer["weights"]["diversity"] == 0
    assert "+diversity" not in answer["arms"]
    for arm in answer["arms"].values():
        for figure in arm.values():
            assert figure["low"] <= figure["mean"] <= figure["high"]
    success = "success_at_10: reciprocity / one_sided"
    assert answer["ratios"][success]["mean"] > 0
    assert "Replaying" in err


def test_a_ratio_to_nothing_is_not_given() -> None:
    nothing = {name: 0.0 for name, _, _ in command.RATIOS}
    runs = {arm: [nothing, nothing] for arm in (ONE_SIDED, RECIPROCITY, ALL)}
    assert {*dict(command.ratios(runs)).values()} == {None}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--people 3", "--people must be at least 40"),
        ("--weights charm=1", "charm is none of"),
        ("--weights exposure_cap=0", "exposure_cap must be"),
        ("--weights exposure=much", "invalid setting value"),
        ("--assume shared=2", "a share is a number from 0 to 1"),
        ("--assume like_rate=1", "between 0 and 1"),
        ("--assume spread=-1", "a spread is"),
        ("--assume page=0.5", "a count is a whole number"),
    ],
)
def test_the_benchmark_refuses_what_cannot_be(
    arguments: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["market", *arguments.split()])
    with pytest.raises(SystemExit):
        command.main()
    assert says in capsys.readouterr().err
