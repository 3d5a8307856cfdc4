"""From what providers said to what an annotator answers: readings and errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from annotation.answers import sight
from annotation.backends.base import (
    AnnotationError,
    BackendUnavailableError,
    Call,
    PermanentError,
    Reading,
    Source,
    TransientError,
)
from annotation.backends.remote.asking import Asked
from annotation.backends.remote.faults import TROUBLES, Fault
from annotation.backends.remote.server import Heard
from annotation.schema import Gate, Verdict

# What neither another photo nor another time changes, and the settings to look at.
MISCONFIGURED: Final[Mapping[str, tuple[str, ...]]] = {
    "unauthorised": ("KEY",),
    "no-credit": ("KEY",),
    "not-found": ("MODEL",),
    "redirected": ("URL",),
    "rejects-all": ("MODEL", "DIALECT"),
}


def stop_if_unavailable(asked: Sequence[Asked], *, all_left_alone: bool) -> None:
    """Raise BackendUnavailableError where no photo is to blame, and no try was billed.

    That is so if settings alone keep everybody from answering, or if all are down.
    What was billed has to count as an attempt, or it might be paid for without an end.
    """
    said = _said(asked)
    if not said or any(one.heard for one in asked):
        return
    free = not any(call.cost_usd for one in asked for call in one.calls)
    all_down = all(TROUBLES[reason].down for _, reason in said)
    misconfigured = all(reason in MISCONFIGURED for _, reason in said)
    if misconfigured or (all_left_alone and all_down and free):
        found = ", ".join(_hint(name, reason) for name, reason in sorted(said))
        calls = [one.calls for one in asked]
        raise BackendUnavailableError(f"No provider answers: {found}.", calls)


def _said(asked: Sequence[Asked]) -> set[tuple[str, str]]:
    """Which provider gave which reasons.

    The first that was rejected by one that turned out to reject all are no exception.
    """
    said = {(name, f.reason) for one in asked for name, f in one.faults.items()}
    return {
        (name, reason)
        for name, reason in said
        if reason != "rejected" or (name, "rejects-all") not in said
    }


def _hint(name: str, reason: str) -> str:
    settings = MISCONFIGURED.get(reason, ())
    named = " and ".join(f"TWINBY_REMOTE_{name.upper()}_{s}" for s in settings)
    return f"{name} says {reason} ({named})" if named else f"{name} says {reason}"


def shared(asked: Sequence[Asked], seconds: float) -> list[Asked]:
    """The same, where every try has its share of the seconds that all took."""
    waited = sum(call.seconds for one in asked for call in one.calls)
    scale = seconds / waited if waited else 0.0
    return [
        replace(
            one,
            calls=tuple(replace(c, seconds=c.seconds * scale) for c in one.calls),
        )
        for one in asked
    ]


def outcomes(asked: Sequence[Asked]) -> list[Reading | AnnotationError]:
    """Readings or errors."""
    return [_outcome(one) for one in asked]


def _outcome(asked: Asked) -> Reading | AnnotationError:
    if asked.heard is None:
        return _error(list(asked.faults.values()), asked.calls)
    return _reading(asked.heard, asked.calls)


def _error(faults: Sequence[Fault], calls: tuple[Call, ...]) -> AnnotationError:
    """For good if every provider refuses the photo; else the first other reason.

    A photo answers for what it may have brought about, and for all that cost something.
    """
    passing = [fault.reason for fault in faults if not fault.trouble.lasting]
    if passing:
        counted = not all(TROUBLES[call.outcome].innocent for call in calls)
        return TransientError(passing[0], calls, counted=counted)
    return PermanentError(faults[-1].reason if faults else "not-an-image", calls)


def _reading(heard: Heard, calls: tuple[Call, ...]) -> Reading:
    seen = sight(heard.answers)
    certain = heard.source is Source.ONE_HOT
    return Reading(
        attributes=seen.attributes,
        gates=_doubted(seen.gates) if certain else seen.gates,
        features=None,
        seconds=sum(call.seconds for call in calls),
        source=heard.source,
        mass={} if certain else seen.mass,
        calls=calls,
    )


def _doubted(gates: dict[Gate, Verdict]) -> dict[Gate, Verdict]:
    """Without probabilities nobody knows how sure the model is: a person looks."""
    return {
        gate: Verdict.UNKNOWN if verdict is Verdict.PASS else verdict
        for gate, verdict in gates.items()
    }
