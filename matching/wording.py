"""Phrases in the language that is spoken: what the doors say of explanations."""

from __future__ import annotations

from collections.abc import Sequence

from django.utils.translation import gettext, ngettext, pgettext

from matching import phrases
from matching.explain import Explanation, Reason, Wish
from matching.phrases import Part, Phrase


def sentence(explanation: Explanation) -> str:
    """Say the strongest reasons: "Similar setting (gym), like photos 2 and 4."."""
    text = "; ".join(said(clause) for clause in phrases.sentence(explanation))
    return f"{text[0].upper()}{text[1:]}."


def understood(found: Sequence[Wish]) -> str:
    """Say the strongest wishes and aversions, of the order that `wishes` gives."""
    return " ".join(said(phrase) for phrase in phrases.understood(found))


def nothing_learned() -> str:
    """What is said of the taste of somebody who has said nothing yet."""
    return gettext(phrases.NOTHING_LEARNED)


def subject(reason: Reason) -> str:
    """Name what a reason is about: "hair colour (blonde)", "setting (not gym)"."""
    return said(phrases.subject(reason))


def named(wish: Wish) -> str:
    """Name a wish: "hair colour: blonde"."""
    name, value = phrases.name_of(wish.name), phrases.value_of(wish.name, wish.value)
    return f"{said(name)}: {said(value)}"


def said(part: Part) -> str:
    """The text of a phrase, or of whatever goes into its places."""
    match part:
        case Phrase():
            places = {name: _placed(inner) for name, inner in part.places.items()}
            return _translated(part) % places
        case tuple():
            return _listed([said(inner) for inner in part])
        case _:
            return str(part)


def _placed(part: Part) -> str | int:
    return part if isinstance(part, int) else said(part)


def _translated(phrase: Phrase) -> str:
    if phrase.context:
        return pgettext(phrase.context, phrase.message)
    plural = phrases.PLURALS.get(phrase.message)
    if plural:
        return ngettext(phrase.message, plural, phrase.count)
    return gettext(phrase.message)


def _listed(texts: Sequence[str]) -> str:
    *before, last = texts
    if not before:
        return last
    return gettext(phrases.LIST) % {"items": ", ".join(before), "last": last}
