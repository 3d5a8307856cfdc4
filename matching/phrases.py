"""Explanations and wishes in English; nothing is said that no addend says. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matching.explain import NEGLIGIBLE, Explanation, Message, Reason, Wish

MAX_RAISING = 3
MAX_LOWERING = 2
# A wish is said if it has at least a quarter of the weight of the strongest.
STRONG = 0.25

# Only names that are not their own words once the underscores are gone.
WORDS: Mapping[str, str] = {
    "hair_color": "hair colour",
    "eye_color": "eye colour",
    "shot_type": "kind of shot",
    "visual": "overall look",
    "t_shirt": "T-shirt",
    "elegant_mood": "elegant",
    "closeup": "close-up",
}


def sentence(explanation: Explanation) -> str:
    """Say the strongest reasons: "Similar setting (gym), like photos 2 and 4."."""
    raising = [r for r in explanation.reasons if r.amount > 0][:MAX_RAISING]
    lowering = [r for r in explanation.reasons if r.amount < 0][:MAX_LOWERING]
    clauses = _likenesses(raising) or ["No clear likeness to the photos you like"]
    if lowering:
        clauses.append("less so: " + _join([subject(reason) for reason in lowering]))
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def understood(found: Sequence[Wish]) -> str:
    """Say the strongest wishes and aversions, of the order that `wishes` gives."""
    wished, averse = clear(found)
    clauses = []
    if wished:
        clauses.append(f"You seem to like {_listing(wished[:MAX_RAISING])}.")
    if averse:
        clauses.append(f"You seem to avoid {_listing(averse[:MAX_LOWERING])}.")
    return " ".join(clauses) or "Your photos agree on nothing in particular."


def clear(found: Sequence[Wish]) -> tuple[list[Wish], list[Wish]]:
    """The wishes and the aversions that are strong and shown, the strongest first."""
    strongest = max((abs(w.weight) for w in found), default=0.0)
    least = max(NEGLIGIBLE, STRONG * strongest)
    wished = [w for w in found if w.weight > least and w.liked > w.disliked]
    averse = [w for w in found[::-1] if w.weight < -least and w.disliked > w.liked]
    return wished, averse


def _likenesses(reasons: Sequence[Reason]) -> list[str]:
    """One clause for all reasons that go back to the same photos."""
    groups: dict[tuple[Message, tuple[int, ...]], list[str]] = {}
    for reason in reasons:
        key = reason.message, reason.photos
        groups.setdefault(key, []).append(subject(reason))
    return [_likeness(*key, subjects) for key, subjects in groups.items()]


def _likeness(
    message: Message, photos: tuple[int, ...], subjects: Sequence[str]
) -> str:
    if not photos:  # learned from people, whom nobody would know by a number
        if message is Message.LIKE_LIKED:
            return f"similar {_join(subjects)}, like people you liked"
        return f"different {_join(subjects)} from people you passed"
    numbers = ("photo " if len(photos) == 1 else "photos ") + _join(
        [str(photo) for photo in photos]
    )
    if message is Message.LIKE_LIKED:
        return f"similar {_join(subjects)}, like {numbers}"
    return f"different {_join(subjects)} from disliked {numbers}"


def subject(reason: Reason) -> str:
    """Name what a reason is about: "hair colour (blonde)", "setting (not gym)"."""
    unlike = reason.message in (Message.UNLIKE_DISLIKED, Message.UNLIKE_LIKED)
    if reason.value is None or (unlike and reason.value == "none"):
        return words(reason.name)
    prefix = "not " if unlike else ""
    return f"{words(reason.name)} ({prefix}{words(reason.value)})"


def _listing(found: Sequence[Wish]) -> str:
    return _join(
        [
            f"{words(w.name)} {words(w.value)}"
            f" (in {w.liked} liked and {w.disliked} disliked)"
            for w in found
        ]
    )


def words(name: str) -> str:
    """An attribute or value as people say it."""
    return WORDS.get(name, name.replace("_", " "))


def _join(parts: Sequence[str]) -> str:
    *before, last = parts
    return f"{', '.join(before)} and {last}" if before else last
