"""What is known of candidates beside how they look: what the stages of ranking ask."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence

from django.utils import timezone

from matching import impressions, selectors, tastes
from matching.models import Space
from matching.ranking.base import Candidate
from matching.selectors import Found
from profiles.models import Profile


def candidates(
    viewer: Profile, found: Sequence[Found], *, space: Space
) -> list[Candidate]:
    """Those found, with everything that ranks them; four look-ups, however many."""
    ids = [one.profile_id for one in found]
    rows = Profile.objects.filter(pk__in=ids)
    # Not the people themselves: two hundred take as long as the index.
    dates = rows.values_list("pk", "last_active_at", "created_at")
    here = {pk: (active, joined) for pk, active, joined in dates}
    now = timezone.now()
    shown, usual = impressions.facts(ids), impressions.usual_likes()
    liking = _liking(viewer, ids, space)
    return [
        Candidate(
            str(pk),
            one.features,
            liked_back=liking.get(pk),
            # Whole days: a score tells nobody the hour at which others were here.
            inactive_days=(now - here[pk][0]).days,
            expected_likes=shown[pk].expected_likes / usual if usual else 0.0,
            impressions=shown[pk].impressions,
            age_days=(now - here[pk][1]).days,
        )
        for pk, one in zip(ids, found, strict=True)
        if pk in here
    ]


def _liking(
    viewer: Profile, ids: Collection[uuid.UUID], space: Space
) -> Mapping[uuid.UUID, float]:
    """Log-odds that each of these people likes the viewer, where a taste is known."""
    own = selectors.features_of([viewer.pk], space=space).get(viewer.pk)
    return {} if own is None else tastes.liking(ids, own, space)
