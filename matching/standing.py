"""What is known of candidates beside how they look: what the stages of ranking ask."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from django.db import connection
from django.utils import timezone

from matching import impressions, selectors, tastes
from matching.ids import uuid_array
from matching.models import Space
from matching.ranking.base import Candidate
from matching.selectors import Found
from profiles.models import Profile

# Whole days, in the order of the ids: a score tells nobody the hour at which others
# were here, and Python takes longer over hundreds of moments than Postgres does.
DAYS: Final = """
SELECT
    array_agg(floor(extract(epoch FROM %(now)s - person.last_active_at) / 86400)::int
              ORDER BY asked.place),
    array_agg(floor(extract(epoch FROM %(now)s - person.created_at) / 86400)::int
              ORDER BY asked.place)
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY asked (id, place)
LEFT JOIN profiles_profile person ON person.id = asked.id
"""


def candidates(
    viewer: Profile, found: Sequence[Found], *, space: Space
) -> list[Candidate]:
    """Those found, with everything that ranks them; four look-ups, however many."""
    ids = [one.profile_id for one in found]
    shown, usual = impressions.facts(ids), impressions.usual_likes()
    per_like = 1 / usual if usual else 0.0
    liking = _liking(viewer, ids, space)
    return [
        Candidate(
            str(one.profile_id),
            one.features,
            liked_back=liking.get(one.profile_id),
            inactive_days=inactive_days,
            expected_likes=shown[one.profile_id].expected_likes * per_like,
            impressions=shown[one.profile_id].impressions,
            age_days=age_days,
        )
        for one, inactive_days, age_days in zip(found, *_days(ids), strict=True)
        if inactive_days is not None  # else they are gone by now
    ]


def _days(ids: Sequence[uuid.UUID]) -> tuple[list[int | None], list[int]]:
    """Since each of these people was here, and since they came; None of who is gone."""
    with connection.cursor() as cursor:
        cursor.execute(DAYS, {"ids": uuid_array(ids), "now": timezone.now()})
        inactive, age = cursor.fetchone()
    return inactive or [], age or []


def _liking(
    viewer: Profile, ids: Collection[uuid.UUID], space: Space
) -> Mapping[uuid.UUID, float]:
    """Log-odds that each of these people likes the viewer, where a taste is known."""
    own = selectors.features_of([viewer.pk], space=space).get(viewer.pk)
    return {} if own is None else tastes.liking(ids, own, space)
