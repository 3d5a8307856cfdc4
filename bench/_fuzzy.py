"""The peer that ranks by winning values, in plain Python, as its public code does.

One value per attribute and photo, the one of most confidence. Liked photos vote for a
value, disliked ones against it with 0.8; who has most is the target. A score is the
weighted mean of (1 - distance) * sqrt(confidence) over the attributes known of both,
less half of the same for the disliked.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from annotation.schema import SCHEMA
from matching.similarity import tables

DISLIKED_VOTE = 0.8
NEGATIVE_SHARE = 0.5
# Its own weights, of those attributes that ours have as well; any other counts 1.
WEIGHTS = {"hair_color": 2.5, "hair_length": 1.5, "eyewear": 1.5, "facial_hair": 1.5}
Profile = Mapping[str, tuple[str, float]]

DISTANCE = {
    attribute.name: {
        (one, other): 1 - float(tables()[attribute.name][i][j])
        for i, one in enumerate(attribute.values)
        for j, other in enumerate(attribute.values)
    }
    for attribute in SCHEMA
}


def winners(presence: Mapping[str, float]) -> dict[str, tuple[str, float]]:
    """Each attribute's strongest value, of {"attribute.value": probability}."""
    best: dict[str, tuple[str, float]] = {}
    for name, p in presence.items():
        attribute, value = name.split(".")
        if p > best.get(attribute, ("", 0.0))[1]:
            best[attribute] = (value, p)
    return best


def target(liked: Sequence[Profile], disliked: Sequence[Profile]) -> dict[str, str]:
    """The value with most votes, of every attribute that anybody shows."""
    votes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for photos, weight in ((liked, 1.0), (disliked, -DISLIKED_VOTE)):
        for photo in photos:
            for name, (value, confidence) in photo.items():
                votes[name][value] += weight * confidence
    return {name: max(sums, key=lambda v: sums[v]) for name, sums in votes.items()}


def rank(
    people: Sequence[Profile],
    liked: Sequence[Profile],
    disliked: Sequence[Profile],
    count: int,
) -> list[int]:
    """The rows of the first `count`, of everybody scored one after another."""
    wanted, unwanted = target(liked, disliked), target(disliked, [])
    scores = [
        max(0.0, _alike(wanted, one) - NEGATIVE_SHARE * _alike(unwanted, one))
        for one in people
    ]
    return sorted(range(len(people)), key=lambda row: -scores[row])[:count]


def _alike(wanted: Mapping[str, str], person: Profile) -> float:
    total = weights = 0.0
    for name, value in wanted.items():
        if name in person:
            shown, confidence = person[name]
            weight = WEIGHTS.get(name, 1.0)
            alike = (1 - DISTANCE[name][value, shown]) * math.sqrt(confidence)
            total += weight * min(1.0, max(0.0, alike))
            weights += weight
    return total / weights if weights else 0.0
