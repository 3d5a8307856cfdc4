"""A two-sided market of people whose tastes are known. Pure.

Who would like whom is settled before the first day, so that every way of ranking meets
the same people with the same tastes: differences between rankings are the rankings'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench._market.habits import history, waves
from matching.preference.base import sigmoid
from matching.preference.prior import cold_prior

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.intp]
BoolArray = npt.NDArray[np.bool_]
Rng = np.random.Generator

ANCHORS = 5  # liked, and as many disliked, that everybody starts with
MAN = "man"
HALVINGS = 30
STEEPEST = 30.0  # log-odds: no intercept is sought beyond
TINY = 1e-12


@dataclass(frozen=True)
class Assumptions:
    """What is taken to be true of people; docs/market.md says why, and what if not.

    The log-odds that somebody likes another are their choosiness, plus `spread` times
    a taste of variance 1, plus `unseen` times a standard normal of the pair, which no
    photo shows. `shared` is the part of the taste's variance that all who seek a gender
    have in common.
    """

    like_rate: float = 0.2  # of the median person, among all that they seek
    like_rate_of_men: float | None = None  # where it differs from the women's
    choosiness_spread: float = 1.0  # standard deviation between people, in log-odds
    choosy_when_popular: float = 0.3  # log-odds less per standard deviation of appeal
    spread: float = 2.0
    shared: float = 0.5
    unseen: float = 1.0
    same_gender: float = 0.06
    newcomers: float = 0.2  # share of people who join while the days go by
    dormant: float = 0.2  # share of the others who are listed and never come
    activity: float = 0.5  # chance to come on a day, on average
    judged_before: int = 20  # by whoever was there before the first day, at random
    page: int = 10
    answers: int = 10  # received likes that somebody looks at on a day they come
    candidates: int = 200  # the nearest by preference, which are then ranked

    def __post_init__(self) -> None:
        """Raises ValueError if one of them cannot be."""
        shares = (self.shared, self.same_gender, self.newcomers, self.dormant)
        rates = (self.like_rate, self.like_rate_of_men or self.like_rate, self.activity)
        spreads = (self.choosiness_spread, self.spread, self.unseen)
        counts = (self.judged_before, self.page, self.answers, self.candidates)
        if not all(0 <= share <= 1 for share in shares):
            raise ValueError("a share is a number from 0 to 1")
        if not all(0 < rate < 1 for rate in rates):
            raise ValueError("a rate, or activity, is a number between 0 and 1")
        if min(spreads) < 0:
            raise ValueError("a spread is a number of 0 or more")
        if any(n < 0 or n % 1 for n in counts) or not self.page:
            raise ValueError("a count is a whole number, and a page has a person")


@dataclass(frozen=True, eq=False)
class Market:
    """N people and D days on which they may come.

    `features` (N, 644) as the product sees people, `sought` (N,) the gender that each
    seeks, by number. `eligible` (N, N): each is sought by the other; `likes` (N, N):
    row would like column. `anchors` and `judged` are rows of people whom each has
    labelled before they came. `joined` (N,) is a day, 0 for those who were there, and
    `last_active` (N,) the day somebody was last there before the first. `wave` (D, N)
    is when in a day somebody comes, or ABSENT.
    """

    assumptions: Assumptions
    features: Float32Array
    sought: IntArray
    eligible: BoolArray
    likes: BoolArray
    anchors: list[IntArray]
    judged: list[IntArray]
    joined: IntArray
    last_active: FloatArray
    wave: IntArray


def draw(
    features: FloatArray,
    genders: npt.NDArray[np.str_],
    *,
    days: int,
    assumptions: Assumptions,
    rng: Rng,
) -> Market:
    """Give people, with features (N, 644) and one of two genders, tastes and habits."""
    a, x = assumptions, features.astype(np.float32)
    sought, eligible = _seeking(genders, a.same_gender, rng)
    likes = _likes(x, genders, eligible, a, rng)
    joined, last_active = history(
        len(x), days=days, newcomers=a.newcomers, dormant=a.dormant, rng=rng
    )
    anchors, judged = _judged_before(eligible, likes, joined, a, rng)
    return Market(
        assumptions=a,
        features=x,
        sought=sought,
        eligible=eligible,
        likes=likes,
        anchors=anchors,
        judged=judged,
        joined=joined,
        last_active=last_active,
        wave=waves(joined, last_active, days=days, activity=a.activity, rng=rng),
    )


def _seeking(
    genders: npt.NDArray[np.str_], same_gender: float, rng: Rng
) -> tuple[IntArray, BoolArray]:
    """The gender that each seeks, by number, and who seeks each other."""
    gender = np.unique(genders, return_inverse=True)[1].astype(np.intp)
    sought = np.where(rng.random(len(gender)) < same_gender, gender, 1 - gender)
    eligible = (sought[:, None] == gender) & (sought == gender[:, None])
    np.fill_diagonal(eligible, val=False)
    return sought, eligible


def _likes(
    x: Float32Array,
    genders: npt.NDArray[np.str_],
    eligible: BoolArray,
    a: Assumptions,
    rng: Rng,
) -> BoolArray:
    """Who would like whom, (N, N): the dice are thrown once for every pair."""
    attraction = _tastes(x, genders, eligible, a, rng)
    unseen = rng.standard_normal(eligible.shape, dtype=np.float32)
    log_odds = a.spread * attraction + a.unseen * unseen
    rate = np.full(len(x), a.like_rate)
    if a.like_rate_of_men is not None:
        rate[genders == MAN] = a.like_rate_of_men
    wanted = np.log(rate / (1 - rate))
    wanted += a.choosiness_spread * rng.standard_normal(len(x))
    wanted -= a.choosy_when_popular * _appeal(attraction, eligible)
    log_odds += _intercepts(log_odds, eligible, sigmoid(wanted))[:, None]
    return np.asarray((rng.random(eligible.shape) < sigmoid(log_odds)) & eligible)


def _tastes(
    x: Float32Array,
    genders: npt.NDArray[np.str_],
    eligible: BoolArray,
    a: Assumptions,
    rng: Rng,
) -> FloatArray:
    """How much column attracts row, (N, N): mean 0 and variance 1 in each row.

    Both parts are linear in the features, with weights of the cold prior's shape.
    """
    scale = np.sqrt(cold_prior().variance)
    own = x @ (scale * rng.standard_normal(x.shape)).T
    common = np.zeros(len(x))
    for gender in np.unique(genders):
        weights = scale * rng.standard_normal(x.shape[1])
        common = np.where(genders == gender, x @ weights, common)
    everybodys = np.broadcast_to(common, eligible.shape)
    together = np.sqrt(a.shared) * _standardised(everybodys, eligible)
    alone = np.sqrt(1 - a.shared) * _standardised(own.T, eligible)
    return np.asarray(together + alone)


def _standardised(values: FloatArray, where: BoolArray) -> FloatArray:
    """Mean 0 and variance 1 in each row, over its part that counts."""
    count = np.maximum(1, where.sum(axis=1, keepdims=True))
    centred = values - np.sum(values, axis=1, keepdims=True, where=where) / count
    square = np.sum(centred**2, axis=1, keepdims=True, where=where) / count
    return np.asarray(centred / np.sqrt(np.maximum(square, TINY)))


def _appeal(attraction: FloatArray, eligible: BoolArray) -> FloatArray:
    """How attractive everybody is on average, (N,), with mean 0 and variance 1."""
    count = np.maximum(1, eligible.sum(axis=0))
    mean = np.sum(attraction, axis=0, where=eligible) / count
    return np.asarray((mean - mean.mean()) / max(float(mean.std()), TINY))


def _intercepts(
    log_odds: FloatArray, eligible: BoolArray, rate: FloatArray
) -> FloatArray:
    """What to add to each row so that this share of those sought is liked, (N,)."""
    count = np.maximum(1, eligible.sum(axis=1))
    low, high = np.full(len(rate), -STEEPEST), np.full(len(rate), STEEPEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        chance = sigmoid(log_odds + middle[:, None])
        too_few = np.sum(chance, axis=1, where=eligible) / count < rate
        low, high = np.where(too_few, middle, low), np.where(too_few, high, middle)
    return np.asarray((low + high) / 2)


def _judged_before(
    eligible: BoolArray, likes: BoolArray, joined: IntArray, a: Assumptions, rng: Rng
) -> tuple[list[IntArray], list[IntArray]]:
    """Everybody's anchors, by their taste, and others whom the first have judged."""
    anchors, judged = [], []
    for person, sought in enumerate(eligible):
        pools = (np.flatnonzero(likes[person]), np.flatnonzero(sought & ~likes[person]))
        chosen = np.concatenate([rng.permutation(pool)[:ANCHORS] for pool in pools])
        others = rng.permutation(np.setdiff1d(np.flatnonzero(sought), chosen))
        anchors.append(chosen)
        judged.append(others[: a.judged_before * int(joined[person] == 0)])
    return anchors, judged
