"""Whom people were shown: logged by page, counted by day, dropped by month."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models import Sum
from django.utils import timezone

from matching import cache, partitions
from matching.ids import uuid_array
from matching.models import Exposure, Impression, Space
from matching.outcomes import Outcome
from profiles.models import Profile

if TYPE_CHECKING:
    from matching.search import Page

logger = logging.getLogger(__name__)

# Partitions are made so many months ahead: a worker may rest for long.
MONTHS_AHEAD: Final = 2
# Of how many days it is known how often a person was shown, and which are "recent".
COUNTED_DAYS: Final = 30
RECENT_DAYS: Final = 7
# What is average is counted every hour, and still goes when one count fails.
OWNER, USUAL_SECONDS = "impressions", 3 * 3600

# Whoever sees a person twice on a day still likes them once.
COUNT = """
INSERT INTO matching_exposure (profile_id, day, impressions, expected_likes)
SELECT seen.person_id, %(day)s, count(*), sum(seen.chance)
FROM (
    SELECT person_id, viewer_id, max(match_score) AS chance FROM matching_impression
    WHERE shown_at >= %(start)s AND shown_at < %(end)s
    GROUP BY person_id, viewer_id
) seen
JOIN profiles_profile person ON person.id = seen.person_id
GROUP BY seen.person_id
ON CONFLICT (profile_id, day) DO UPDATE
SET impressions = excluded.impressions, expected_likes = excluded.expected_likes
"""
# A row for each person of a page, by its order.
SHOWN = """
INSERT INTO matching_impression (
    page_id, viewer_id, source, space, prior, method, calibration, arm, shown_at,
    person_id, score, preference, match_score, propensity, rank
)
SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, seen.*
FROM unnest(%s::uuid[], %s::float8[], %s::float8[], %s::float8[], %s::float8[])
WITH ORDINALITY AS seen
"""
FACTS = """
SELECT profile_id, sum(impressions),
    coalesce(sum(expected_likes) FILTER (WHERE day > %(since)s), 0.0)
FROM matching_exposure WHERE profile_id = ANY(%(ids)s::uuid[])
GROUP BY profile_id
"""
# What a page under way logged of somebody who was erased at that moment.
FORGET = """
DELETE FROM matching_impression WHERE shown_at >= %(start)s AND shown_at < %(end)s
AND (NOT EXISTS (SELECT FROM profiles_profile WHERE id = viewer_id)
     OR NOT EXISTS (SELECT FROM profiles_profile WHERE id = person_id))
"""
# What was said on the page that showed somebody; the last word of each on each.
OUTCOMES = """
SELECT DISTINCT ON (said.actor_id, said.target_id)
    shown.preference, said.kind <> 'pass', said.actor_id::text
FROM matching_feedback said
JOIN matching_impression shown
ON shown.page_id = said.page_id
AND shown.viewer_id = said.actor_id AND shown.person_id = said.target_id
WHERE said.kind IN ('like', 'super_like', 'pass') AND said.withdrawn_at IS NULL
AND shown.shown_at >= %s AND shown.space = %s
ORDER BY said.actor_id, said.target_id, said.id DESC
"""


@dataclass(frozen=True)
class Facts:
    """How much a person was shown: viewers in the last 30 days, counting each once a
    day, and the likes a day to be expected of the last 7 days' viewers."""

    impressions: int = 0
    expected_likes: float = 0.0


def log(viewer: Profile, page: Page, *, source: Impression.Source) -> None:
    """Keep who was shown, in one statement; an answer never fails because of it."""
    ranked = [match.ranked for match in page.matches]
    about = (page.id, viewer.pk, source, page.space.version, page.prior, page.method)
    shown = (
        [match.profile_id for match in page.matches],
        [one.score for one in ranked],
        [one.preference for one in ranked],
        [one.match_score for one in ranked],
        [match.propensity for match in page.matches],
    )
    how = (page.calibration or "", page.arm, timezone.now())
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(SHOWN, [*about, *how, *shown])
    except DatabaseError as error:  # its words hold ids
        logger.warning("A page was not logged: %s", type(error).__name__)


def facts(profile_ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Facts]:
    """How much each of these people was shown, as of the last hourly count."""
    asked: dict[str, str | dt.date] = {
        "ids": uuid_array(profile_ids),
        "since": timezone.now().date() - dt.timedelta(days=RECENT_DAYS),
    }
    with connection.cursor() as cursor:
        cursor.execute(FACTS, asked)
        rows = cursor.fetchall()
    known = {pk: Facts(shown, likes / RECENT_DAYS) for pk, shown, likes in rows}
    return dict.fromkeys(profile_ids, Facts()) | known


def outcomes(space: Space, *, since: dt.datetime) -> list[Outcome]:
    """What came of people shown since, by the log-odds of the preference.

    Of what apps said on which page it was said; what match scores are calibrated by.
    Log-odds of another space are others.
    """
    with connection.cursor() as cursor:
        cursor.execute(OUTCOMES, [since, space.version])
        return [Outcome(*row) for row in cursor.fetchall()]


def count() -> None:
    """Count the impressions of today and yesterday (UTC) anew; forget old days."""
    today = timezone.now().date()
    for day in (today - dt.timedelta(days=1), today):
        start = dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC)
        bounds = {"day": day, "start": start, "end": start + dt.timedelta(days=1)}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
            cursor.execute(FORGET, bounds)
            cursor.execute(COUNT, bounds)
    oldest = today - dt.timedelta(days=COUNTED_DAYS)
    Exposure.objects.filter(day__lte=oldest).delete()
    cache.keep(OWNER, "usual_likes", _usual_likes(), seconds=USUAL_SECONDS)


def usual_likes() -> float:
    """How many likes a day somebody can expect on average, as of the last hourly count;
    0 if that is not known."""
    return cache.kept(OWNER, "usual_likes") or 0.0


def _usual_likes() -> float:
    since = timezone.now().date() - dt.timedelta(days=RECENT_DAYS)
    recent = Exposure.objects.filter(day__gt=since)
    likes = recent.aggregate(sum=Sum("expected_likes"))["sum"] or 0.0
    people = Profile.objects.searchable().count()
    return likes / RECENT_DAYS / people if people else 0.0


def arrange() -> tuple[list[str], list[str]]:
    """Make the months ahead, and drop those older than is kept; returns both."""
    today = timezone.now().date()
    keep = settings.IMPRESSION_MONTHS
    return partitions.arrange(today, ahead=MONTHS_AHEAD, keep=keep)
