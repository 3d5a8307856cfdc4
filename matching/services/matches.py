"""Matches: two people whose last word on each other is a like."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db.models import Q
from django.utils import timezone

from matching.models import Feedback, Match
from matching.signals import people_matched
from profiles.models import Profile

Pair = tuple[uuid.UUID, uuid.UUID]


def settle(actor: Profile, others: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Make and end the actor's matches with these people; returns who is new.

    A match is what stands: whatever is said or undone, the last words that are left
    decide alone. The caller holds the locks of everybody concerned.
    """
    likes = _likes(actor, others)
    wanted = {pk for pk in others if {(actor.pk, pk), (pk, actor.pk)} <= likes}
    pairs = {_pair(actor.pk, pk): pk for pk in others}
    rows = Match.objects.filter(
        Q(first=actor, second__in=others) | Q(second=actor, first__in=others)
    )
    there = {pairs[row.first_id, row.second_id]: row for row in rows}
    standing = {pk for pk, row in there.items() if row.ended_at is None}
    _end([there[pk] for pk in standing - wanted])
    made = wanted - standing
    for pk in sorted(made):
        _make(_pair(actor.pk, pk))
    return made


def _likes(actor: Profile, others: Collection[uuid.UUID]) -> set[Pair]:
    """Who likes whom, (actor, target), between one person and others."""
    stances = Feedback.objects.filter(
        Q(actor=actor, target__in=others) | Q(actor__in=others, target=actor),
        kind__in=Feedback.STANCES,
        withdrawn_at__isnull=True,
    ).order_by("actor", "target", "-pk")
    last_words = stances.distinct("actor", "target")
    return {
        (by, of)
        for by, of, kind in last_words.values_list("actor_id", "target_id", "kind")
        if kind in Feedback.LIKES
    }


def _pair(one: uuid.UUID, other: uuid.UUID) -> Pair:
    return (one, other) if one < other else (other, one)


def _make(pair: Pair) -> None:
    first, second = pair
    now = timezone.now()
    match, _ = Match.objects.update_or_create(
        first_id=first,
        second_id=second,
        defaults={"created_at": now, "ended_at": None, "changed_at": now},
    )
    people_matched.send(Match, match_id=match.pk, profile_ids=pair)


def _end(matches: Collection[Match]) -> None:
    now = timezone.now()
    ended = Match.objects.filter(pk__in=[match.pk for match in matches])
    ended.update(ended_at=now, changed_at=now)
