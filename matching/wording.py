"""Phrases in the language that is spoken: what the doors say of explanations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from django.utils.translation import get_language, gettext, ngettext, pgettext

from matching import phrases
from matching.explain import Explanation, Reason, Wish
from matching.phrases import Part, Phrase


def sentence(explanation: Explanation) -> str:
    """Say the strongest reasons: "Similar setting (gym), like photos 2 and 4."."""
    language = get_language()
    clauses = phrases.sentence(explanation)
    text = "; ".join(_said(clause, language) for clause in clauses)
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
    return _said(part, get_language())


def _said(part: Part, language: str | None) -> str:
    match part:
        case Phrase():
            text = _translated(language, part.message, part.context, part.count)
            if not part.places:
                return text
            return text % {
                name: inner if isinstance(inner, int) else _said(inner, language)
                for name, inner in part.places.items()
            }
        case tuple():
            return _listed([_said(inner, language) for inner in part], language)
        case _:
            return str(part)


# All that is ever said, and its plurals for the usual counts: to look up a translation
# takes longer than all else that there is to a sentence.
@lru_cache(maxsize=5000)
def _translated(_: str | None, message: str, context: str = "", count: int = 0) -> str:
    """In the language that is spoken, which is given to tell the kept ones apart."""
    if context:
        return pgettext(context, message)
    plural = phrases.PLURALS.get(message)
    if plural:
        return ngettext(message, plural, count)
    return gettext(message)


def _listed(texts: Sequence[str], language: str | None) -> str:
    *before, last = texts
    if not before:
        return last
    both = {"items": ", ".join(before), "last": last}
    return _translated(language, phrases.LIST) % both
