"""Days of use, replayed: who is shown to whom, who likes whom, who matches. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench._market.habits import WAVES
from bench._market.learned import Learned
from bench._market.population import (
    BoolArray,
    Float32Array,
    FloatArray,
    IntArray,
    Market,
)
from bench._market.stages import Found, page
from matching.preference.base import sigmoid
from matching.preference.prior import Prior
from matching.ranking.stages import Weights

# Half-life of what counts as recent in the likes that somebody can expect a day.
RECENT_DAYS = 3.0
KEPT = 0.5 ** (1 / RECENT_DAYS)


@dataclass(frozen=True, eq=False)
class History:
    """What happened.

    `shown` (V, 4): viewer, person, day and rank from 0. `matches` (M, 3): two people
    and the day on which the second of them said yes.
    """

    shown: IntArray
    matches: IntArray


def replay(market: Market, priors: list[Prior], weights: Weights) -> History:
    """What happens in this market when people are ranked with these weights."""
    return Replay(market, priors, weights).run()


class Replay:
    """A market in use."""

    def __init__(self, market: Market, priors: list[Prior], weights: Weights) -> None:
        count = len(market.features)
        self.market = market
        self.weights = weights
        self.learned = Learned(market, priors)
        self.alike = _cosines(market.features)
        self.seen: BoolArray = ~market.eligible
        for person, rows in enumerate(zip(market.anchors, market.judged, strict=True)):
            self.seen[person, np.concatenate(rows)] = True
        self.waiting: BoolArray = np.zeros_like(market.eligible)
        self.last_active = market.last_active.copy()
        self.impressions = np.zeros(count, dtype=np.intp)
        self.expected_likes = np.zeros(count)  # a day, with the decay of RECENT_DAYS
        self.shown: list[IntArray] = []
        self.matches: list[IntArray] = []

    def run(self) -> History:
        """All days, one wave of people after another."""
        for day, wave in enumerate(self.market.wave):
            self.expected_likes *= KEPT
            for number in range(WAVES):
                come = np.flatnonzero(wave == number)
                if len(come):
                    self._visit(come, day)
        return History(np.concatenate(self.shown), np.concatenate(self.matches))

    def _visit(self, come: IntArray, day: int) -> None:
        """Each answers likes, looks at a page, and is learned from."""
        pages = self._pages(come, day)
        for person, shown in zip(come.tolist(), pages, strict=True):
            answered = self._received(person)
            self._judge(person, answered, day)
            new = shown[~np.isin(shown, answered)]
            self._judge(person, new, day)
            self._count(person, shown, day)
            self.learned.see(person, np.concatenate([answered, new]))
            self.last_active[person] = day

    def _pages(self, come: IntArray, day: int) -> list[IntArray]:
        """Who is shown to each, best first: found by preference, ranked in stages."""
        liking = self.learned.liking(come)
        liking[self.seen[come] | (self.market.joined > day)] = -np.inf
        back = self.learned.liked_back(come)
        limit = min(self.market.assumptions.candidates, liking.shape[1] - 1)
        nearest = np.sort(np.argpartition(-liking, limit, axis=1)[:, :limit], axis=1)
        pages = []
        for i, rows in enumerate(nearest):
            allowed = rows[np.isfinite(liking[i, rows])]
            found = self._found(allowed, liking[i], back[i], day)
            size = self.market.assumptions.page
            pages.append(allowed[page(found, self.weights, size=size)])
        return pages

    def _found(
        self, rows: IntArray, liking: FloatArray, liked_back: FloatArray, day: int
    ) -> Found:
        """What is known of these people, beside how much both sides may like."""
        joined = self.market.joined[rows]
        return Found(
            preference=liking[rows],
            liked_back=liked_back[rows],
            inactive_days=day - self.last_active[rows],
            expected_likes=self.expected_likes[rows],
            impressions=self.impressions[rows],
            # Whoever was there before the first day is not new.
            age_days=np.where(joined > 0, day - joined, np.inf),
            alike=self.alike[np.ix_(rows, rows)],
        )

    def _received(self, person: int) -> IntArray:
        """The likes that somebody looks at: as many as they will, the best first."""
        waiting = np.flatnonzero(self.waiting[person] & ~self.seen[person])
        liking = self.learned.log_odds(person, waiting)
        best = waiting[np.argsort(-liking, kind="stable")]
        return best[: self.market.assumptions.answers]

    def _judge(self, viewer: int, people: IntArray, day: int) -> None:
        """Somebody likes or passes whom they see, by their true taste."""
        liked = people[self.market.likes[viewer, people]]
        mutual = liked[self.waiting[viewer, liked]]
        self.seen[viewer, people] = True
        self.waiting[liked, viewer] = True
        match = np.empty((len(mutual), 3), dtype=np.intp)
        match[:, 0], match[:, 1], match[:, 2] = viewer, mutual, day
        self.matches.append(match)

    def _count(self, viewer: int, shown: IntArray, day: int) -> None:
        """What was shown, and the likes that it lets people expect."""
        views = np.empty((len(shown), 4), dtype=np.intp)
        views[:, 0], views[:, 1], views[:, 2] = viewer, shown, day
        views[:, 3] = np.arange(len(shown))
        self.shown.append(views)
        self.impressions[shown] += 1
        chance = sigmoid(self.learned.log_odds(viewer, shown))
        self.expected_likes[shown] += (1 - KEPT) * chance


def _cosines(features: Float32Array) -> Float32Array:
    """Of all pairs, (N, N)."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    units = features / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(units @ units.T)
