"""What people say of each other: taken in once, acted upon, learned from, undone."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from matching import tastes
from matching.models import Feedback
from matching.services.matches import settle
from profiles.models import Profile
from profiles.services import avoid, stop_avoiding
from twinby.errors import ConflictError, InvalidError, NotFoundError


@dataclass(frozen=True)
class Event:
    """One thing said, under an id that the app made up; the same again is a repeat."""

    event_id: uuid.UUID
    kind: str
    target_id: uuid.UUID
    page_id: uuid.UUID | None = None
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of an event: nothing, if its target is gone; or it made a match."""

    event_id: uuid.UUID
    recorded: bool
    matched: bool = False


@transaction.atomic
def record(actor: Profile, events: Sequence[Event]) -> list[Outcome]:
    """Take in what `actor` says, in its order, and learn from it: all of it or nothing.

    1. What was said before under the same id gets the same answer.
    2. People that are gone, or of another client, are passed over.
    3. Blocks hide, last words make and end matches, labels teach.
    Raises ConflictError if an id was used for something else, InvalidError for feedback
    on oneself, NotFoundError once the actor is erased.
    """
    if any(event.target_id == actor.pk for event in events):
        raise InvalidError("Nobody gives feedback on themselves.")
    people = _locked(actor, {event.target_id for event in events})
    known = _known(actor, events)
    said = {event.event_id: event for event in events if event.target_id in people}
    new = [event for event in said.values() if event.event_id not in known]
    known |= {row.event_id: row for row in _write(actor, new)}
    _act(actor, [known[event.event_id] for event in new])
    return [_outcome(event, known.get(event.event_id)) for event in events]


@transaction.atomic
def undo(actor: Profile, event_id: uuid.UUID) -> None:
    """Withdraw what was said: it counts, and has taught, nothing. Twice does no harm.

    Raises NotFoundError if the actor never said it.
    """
    said = Feedback.objects.filter(actor=actor, event_id=event_id)
    row = said.first()
    if row is None:
        raise NotFoundError("This person has given no such feedback.")
    _locked(actor, {row.target_id})
    if not said.filter(withdrawn_at=None).update(withdrawn_at=timezone.now()):
        return
    if row.kind == Feedback.Kind.BLOCK and not _still(actor, row):
        stop_avoiding(actor, [row.target_id])
    settle(actor, {row.target_id})
    if row.kind in Feedback.LABELS:
        tastes.relearn(actor, warm=False)


def _locked(actor: Profile, targets: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """The targets that are there, locked with the actor in the order everybody locks.

    So two people who like each other at the same moment take turns, and match.
    """
    people = Profile.objects.filter(client_id=actor.client_id)
    wanted = people.filter(pk__in={actor.pk, *targets}).order_by("pk")
    found = set(wanted.select_for_update(no_key=True).values_list("pk", flat=True))
    if actor.pk not in found:
        raise NotFoundError("There is no such person.")
    return found - {actor.pk}


def _known(actor: Profile, events: Iterable[Event]) -> dict[uuid.UUID, Feedback]:
    """What was said before under these ids; ConflictError if it was something else."""
    first: dict[uuid.UUID, Event] = {}
    for event in events:
        first.setdefault(event.event_id, event)
    rows = Feedback.objects.filter(actor=actor, event_id__in=first)
    known = {row.event_id: row for row in rows}
    before = first | {pk: _event(row) for pk, row in known.items()}
    other = {e.event_id for e in events if e != before[e.event_id]}
    if other:
        raise ConflictError(
            "These ids have been used for other feedback; see event_ids.",
            kind="event-conflict",
            event_ids=sorted(map(str, other)),
        )
    return known


def _event(row: Feedback) -> Event:
    return Event(row.event_id, row.kind, row.target_id, row.page_id, row.reason)


def _write(actor: Profile, events: Iterable[Event]) -> list[Feedback]:
    return Feedback.objects.bulk_create(
        [
            Feedback(
                actor=actor,
                event_id=event.event_id,
                kind=event.kind,
                target_id=event.target_id,
                page_id=event.page_id,
                reason=event.reason,
            )
            for event in events
        ]
    )


def _act(actor: Profile, rows: Sequence[Feedback]) -> None:
    """What follows from feedback that is new."""
    blocked = {row.target_id for row in rows if row.kind == Feedback.Kind.BLOCK}
    if blocked:
        avoid(actor, blocked)
    stances = {row.target_id: row for row in rows if row.kind in Feedback.STANCES}
    made = settle(actor, stances.keys()) if stances else set()
    for target_id in made:
        stances[target_id].matched = True
    Feedback.objects.filter(pk__in=[stances[pk].pk for pk in made]).update(matched=True)
    if any(row.kind in Feedback.LABELS for row in rows):
        tastes.relearn(actor)


def _still(actor: Profile, row: Feedback) -> bool:
    """Whether other feedback of the same kind on the same person stands."""
    return Feedback.objects.filter(
        actor=actor, target=row.target_id, kind=row.kind, withdrawn_at=None
    ).exists()


def _outcome(event: Event, row: Feedback | None) -> Outcome:
    return Outcome(event.event_id, row is not None, row.matched if row else False)
