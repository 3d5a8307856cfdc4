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

# What neither another photo nor another time changes, and the setting to look at.
MISCONFIGURED: Final[Mapping[str, str]] = {
    "unauthorised": "KEY",
    "no-credit": "KEY",
    "not-found": "MODEL",
    "redirected": "URL",
}


def stop_if_unavailable(asked: Sequence[Asked], *, all_left_alone: bool) -> None:
    """Raise BackendUnavailableError where no photo is to blame, and no try was billed.

    That is so if settings alone keep everybody from answering, or if all are down.
    """
    said = {(name, f.reason) for one in asked for name, f in one.faults.items()}
    if not said or any(one.heard for one in asked):
        return
    free = not any(call.cost_usd for one in asked for call in one.calls)
    all_down = all(TROUBLES[reason].down for _, reason in said)
    misconfigured = all(reason in MISCONFIGURED for _, reason in said)
    if misconfigured or (all_left_alone and all_down and free):
        found = ", ".join(_said(name, reason) for name, reason in sorted(said))
        raise BackendUnavailableError(f"No provider answers: {found}.")


def _said(name: str, reason: str) -> str:
    setting = MISCONFIGURED.get(reason)
    hint = f" (TWINBY_REMOTE_{name.upper()}_{setting})" if setting else ""
    return f"{name} says {reason}{hint}"


def outcomes(asked: Sequence[Asked], seconds: float) -> list[Reading | AnnotationError]:
    """Readings or errors. Every try gets its share of the seconds that all took."""
    waited = sum(call.seconds for one in asked for call in one.calls)
    scale = seconds / waited if waited else 0.0
    shares = [
        replace(
            one,
            calls=tuple(replace(c, seconds=c.seconds * scale) for c in one.calls),
        )
        for one in asked
    ]
    return [_outcome(one) for one in shares]


def _outcome(asked: Asked) -> Reading | AnnotationError:
    if asked.heard is None:
        return _error(list(asked.faults.values()), asked.calls)
    return _reading(asked.heard, asked.calls)


def _error(faults: Sequence[Fault], calls: tuple[Call, ...]) -> AnnotationError:
    """For good if every provider refuses the photo; else the first other reason."""
    passing = [fault.reason for fault in faults if not fault.trouble.lasting]
    if passing:
        return TransientError(passing[0], calls)
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
