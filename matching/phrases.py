"""What explanations and wishes say, as messages with places to fill. Pure.

A message is the English text, and its id in the catalogues of other languages, by which
`matching.wording` translates. Nothing is said that no addend says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation.schema import BY_NAME
from matching.explain import NEGLIGIBLE, Explanation, Reason, Wish
from matching.features import VISUAL
from matching.messages import Message

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
    "with_pet": "with a pet",
    "elegant_mood": "elegant",
    "closeup": "close-up",
}
# Messages with a plural: by the number of photos, or of examples.
PLURALS: Mapping[str, str] = {
    "photo %(numbers)s": "photos %(numbers)s",
    "%(count)d liked": "%(count)d liked",
    "%(count)d disliked": "%(count)d disliked",
}
NO_LIKENESS = "no clear likeness to the photos you like"
LESS_SO = "less so: %(subjects)s"
WITH_VALUE = "%(name)s (%(value)s)"
WITHOUT_VALUE = "%(name)s (not %(value)s)"
SEEMS_TO_LIKE = "You seem to like %(wishes)s."
SEEMS_TO_AVOID = "You seem to avoid %(wishes)s."
AGREE_ON_NOTHING = "Your photos agree on nothing in particular."
NOTHING_LEARNED = "Nothing has been learned yet: like or pass a few people."
WISH = "%(name)s %(value)s (in %(liked)s and %(disliked)s)"
LIST = "%(items)s and %(last)s"
BUT = "but %(clause)s"
# A likeness to photos that were numbered, and to people, who are not.
TO_PHOTOS: Mapping[Message, str] = {
    Message.LIKE_LIKED: "similar %(subjects)s, like %(photos)s",
    Message.UNLIKE_DISLIKED: "different %(subjects)s from disliked %(photos)s",
}
TO_PEOPLE: Mapping[Message, str] = {
    Message.LIKE_LIKED: "similar %(subjects)s, like people you liked",
    Message.UNLIKE_DISLIKED: "different %(subjects)s from people you passed",
}
STAGES: Mapping[Message, str] = {
    Message.WOULD_LIKE_BACK: "they would probably like you too",
    Message.MAY_NOT_LIKE_BACK: "they may not like you back",
    Message.ACTIVE: "active recently",
    Message.POPULAR: "many like them already",
    Message.NEW: "new here",
    Message.ALREADY_SHOWN: "much like somebody shown before",
    Message.DRAWN_UP: "moved up by lot, to learn your taste",
    Message.DRAWN_DOWN: "moved down by lot, to learn your taste",
}


@dataclass(frozen=True)
class Phrase:
    """A message, and what goes into its places: texts, numbers, phrases, lists.

    `context` tells messages of the same words apart: the attribute of a value. `count`
    decides the form where `PLURALS` has the message.
    """

    message: str
    places: Mapping[str, Part] = field(default_factory=dict)
    context: str = ""
    count: int = 0


Part = str | int | Phrase | tuple["Part", ...]


def sentence(explanation: Explanation) -> list[Phrase]:
    """The clauses of one sentence, the strongest reasons: for, then against."""
    likenesses = [r for r in explanation.reasons if r.message not in STAGES]
    raising = [r for r in likenesses if r.amount > 0][:MAX_RAISING]
    lowering = [r for r in likenesses if r.amount < 0][:MAX_LOWERING]
    standing = [r for r in explanation.reasons if r.message in STAGES]
    clauses = _likenesses(raising) or [Phrase(NO_LIKENESS)]
    clauses += [Phrase(STAGES[r.message]) for r in standing if r.amount > 0]
    if lowering:
        subjects = tuple(subject(reason) for reason in lowering)
        clauses.append(Phrase(LESS_SO, {"subjects": subjects}))
    against = [Phrase(STAGES[r.message]) for r in standing if r.amount < 0]
    return clauses + [Phrase(BUT, {"clause": clause}) for clause in against]


def understood(found: Sequence[Wish]) -> list[Phrase]:
    """Sentences: the strongest wishes and aversions, of the order `wishes` gives."""
    wished, averse = clear(found)
    said = []
    if wished:
        said.append(Phrase(SEEMS_TO_LIKE, {"wishes": _listing(wished[:MAX_RAISING])}))
    if averse:
        said.append(Phrase(SEEMS_TO_AVOID, {"wishes": _listing(averse[:MAX_LOWERING])}))
    return said or [Phrase(AGREE_ON_NOTHING)]


def clear(found: Sequence[Wish]) -> tuple[list[Wish], list[Wish]]:
    """The wishes and the aversions that are strong and shown, the strongest first."""
    strongest = max((abs(w.weight) for w in found), default=0.0)
    least = max(NEGLIGIBLE, STRONG * strongest)
    wished = [w for w in found if w.weight > least and w.liked > w.disliked]
    averse = [w for w in found[::-1] if w.weight < -least and w.disliked > w.liked]
    return wished, averse


def subject(reason: Reason) -> Phrase:
    """What a reason is about: "hair colour (blonde)", "setting (not gym)"."""
    if reason.message in STAGES:
        return Phrase(STAGES[reason.message])
    unlike = reason.message in (Message.UNLIKE_DISLIKED, Message.UNLIKE_LIKED)
    if reason.value is None or (unlike and reason.value == "none"):
        return name_of(reason.name)
    value = value_of(reason.name, reason.value)
    message = WITHOUT_VALUE if unlike else WITH_VALUE
    return Phrase(message, {"name": name_of(reason.name), "value": value})


def name_of(attribute: str) -> Phrase:
    """An attribute, or "visual", as people say it."""
    return Phrase(_words(attribute), context="attribute")


def value_of(attribute: str, value: str) -> Phrase:
    """A value of an attribute as people say it."""
    return Phrase(_words(value), context=attribute)


def vocabulary() -> list[Phrase]:
    """Every phrase there is, without what goes into its places."""
    names = [name_of(name) for name in (VISUAL, *BY_NAME)]
    values = [value_of(a.name, value) for a in BY_NAME.values() for value in a.values]
    messages = (
        *(NO_LIKENESS, LESS_SO, BUT, LIST, WITH_VALUE, WITHOUT_VALUE),
        *(SEEMS_TO_LIKE, SEEMS_TO_AVOID, AGREE_ON_NOTHING, NOTHING_LEARNED),
        *(WISH, *PLURALS),
        *(*TO_PHOTOS.values(), *TO_PEOPLE.values(), *STAGES.values()),
    )
    return [*(Phrase(message) for message in messages), *names, *values]


def _likenesses(reasons: Sequence[Reason]) -> list[Phrase]:
    """One clause for all reasons that go back to the same photos."""
    groups: dict[tuple[Message, tuple[int, ...]], list[Phrase]] = {}
    for reason in reasons:
        key = reason.message, reason.photos
        groups.setdefault(key, []).append(subject(reason))
    return [_likeness(*key, tuple(subjects)) for key, subjects in groups.items()]


def _likeness(
    message: Message, photos: tuple[int, ...], subjects: tuple[Phrase, ...]
) -> Phrase:
    if not photos:
        return Phrase(TO_PEOPLE[message], {"subjects": subjects})
    numbered = Phrase("photo %(numbers)s", {"numbers": photos}, count=len(photos))
    return Phrase(TO_PHOTOS[message], {"subjects": subjects, "photos": numbered})


def _listing(found: Sequence[Wish]) -> tuple[Phrase, ...]:
    return tuple(
        Phrase(
            WISH,
            {
                "name": name_of(wish.name),
                "value": value_of(wish.name, wish.value),
                "liked": _counted("%(count)d liked", wish.liked),
                "disliked": _counted("%(count)d disliked", wish.disliked),
            },
        )
        for wish in found
    )


def _counted(message: str, count: int) -> Phrase:
    return Phrase(message, {"count": count}, count=count)


def _words(name: str) -> str:
    return WORDS.get(name, name.replace("_", " "))
