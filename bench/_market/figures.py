"""What a history of a market comes to. Pure."""

from __future__ import annotations

import numpy as np

from bench._market.days import History
from bench._market.habits import ABSENT
from bench._market.population import BoolArray, Market
from matching.metrics import gini

TOP = 10
NEW_DAYS = 3  # for so long after joining somebody is new


def figures(market: Market, history: History) -> dict[str, float]:
    """Of one replay; bench/README.md says what each of them is."""
    viewer, person, _, rank = history.shown.T
    top, likes = rank < TOP, market.likes
    liked = likes[viewer, person]
    mutual = liked & likes[person, viewer]
    comes = (market.wave != ABSENT).any(axis=0)
    matched = np.unique(history.matches[:, :2])
    count = len(market.features)
    pairs = {(min(p), max(p)) for p in history.shown[mutual, :2].tolist()}
    return {
        "success_at_10": float(mutual[top].mean()),
        "liked_at_10": float(liked[top].mean()),
        "matches_per_person": 2 * len(history.matches) / count,
        "matches_if_all_answered": 2 * len(pairs) / count,
        "unmatched": 1 - len(matched) / int(comes.sum()),
        "exposure_gini": gini(_impressions_a_day(market, history)[comes]),
        "shown_in_vain": float((~comes)[person].mean()),
    } | _of_newcomers(market, history, top & mutual)


def _impressions_a_day(market: Market, history: History) -> np.ndarray:
    """Of everybody, (N,), while they are there."""
    shown = np.bincount(history.shown[:, 1], minlength=len(market.joined))
    return np.asarray(shown / (len(market.wave) - market.joined))


def _of_newcomers(
    market: Market, history: History, successful: BoolArray
) -> dict[str, float]:
    """How often they are shown, what they find, and how soon they match."""
    viewer, person, day, rank = history.shown.T
    days, new = len(market.wave), market.joined > 0
    is_early = new[person] & (day < market.joined[person] + NEW_DAYS)
    present = days - market.joined
    early_days = int(np.minimum(NEW_DAYS, present[new]).sum())
    a_day = is_early.sum() / max(1, early_days)
    others = (~is_early).sum() / (present.sum() - early_days)
    first = np.full(len(new), days)
    for side in (0, 1):
        np.minimum.at(first, history.matches[:, side], history.matches[:, 2])
    window = days // 2
    waited = np.minimum(first - market.joined, window)[new & (market.joined <= window)]
    finds = successful[new[viewer] & (rank < TOP)]
    return {
        "newcomers_success_at_10": float(finds.mean()) if len(finds) else 0.0,
        "newcomers_exposure": float(a_day / others),
        "newcomers_days_to_match": float(waited.mean()) if len(waited) else 0.0,
    }
