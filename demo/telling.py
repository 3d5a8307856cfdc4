"""What the demo prints: the answer, and how the rater in fact rated it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from demo.london import Face, Rater, Taste
from matching.metrics import auc

SHOWN = 10


def intro(rater: Rater, taste: Taste) -> Iterator[str]:
    """Who asks, and with which ten faces."""
    yield (
        f"Rater {rater.id}, a {rater.sex} of {rater.age}, prefers "
        f"{_plural(rater.prefers)}."
    )
    yield f"  liked:    {_rated(taste.liked, rater)}"
    yield f"  disliked: {_rated(taste.disliked, rater)}"


def table(
    matches: Sequence[dict[str, Any]],
    faces: Mapping[uuid.UUID, Face],
    rater: Rater,
) -> Iterator[str]:
    """The first ten of an answer, each with the rating that was held back."""
    yield "rank  face  match  score  in fact rated"
    for rank, match in enumerate(matches[:SHOWN], 1):
        face = faces[uuid.UUID(match["user_id"])].number
        yield (
            f"{rank:>4}  {face:>4}  {match['match_score']:>4.0%}  "
            f"{match['score']:>+6.2f}  {rater.ratings[face]} of 7"
        )
        yield f"      {match['explanation']}"


def verdict(
    matches: Sequence[dict[str, Any]],
    faces: Mapping[uuid.UUID, Face],
    rater: Rater,
    taste: Taste,
    others: Mapping[str, float],
) -> Iterator[str]:
    """How good the order is beside plain baselines, and how little one rater says."""
    order = [faces[uuid.UUID(match["user_id"])].number for match in matches]
    rated = [rater.ratings[face] for face in order]
    top = rated[:SHOWN]
    yield (
        f"Mean rating of these {len(top)}: {_mean(top):.2f}; "
        f"of all {len(rated)} candidates: {_mean(rated):.2f}."
    )
    decided = [i for i, face in enumerate(order) if rater.ratings[face] != taste.middle]
    above = [rated[i] > taste.middle for i in decided]
    if len(set(above)) < 2:
        return
    by_us = auc([matches[i]["score"] for i in decided], relevant=above)
    by_others = auc([others[order[i]] for i in decided], relevant=above)
    yield (
        f"AUC, rated above against below this rater's median of {taste.middle:g} "
        f"({sum(above)} against {len(above) - sum(above)} faces): {by_us:.2f}; "
        f"by what all others think of them: {by_others:.2f}; by chance: 0.50."
    )
    yield "One rater and forty faces are noise: no figure above measures the product."


def _rated(faces: Sequence[Face], rater: Rater) -> str:
    return ", ".join(f"{f.number} ({rater.ratings[f.number]} of 7)" for f in faces)


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _plural(gender: str) -> str:
    return {"woman": "women", "man": "men"}[gender]
