"""What is known of candidates beside how they look: what the stages of ranking ask."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence

import numpy as np
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
    people = Profile.objects.in_bulk(ids)
    shown, liking = impressions.facts(ids), _liking(viewer, ids, space)
    now = timezone.now()
    return [
        Candidate(
            str(one.profile_id),
            one.features,
            liked_back=liking.get(one.profile_id),
            # Whole days: a score tells nobody the hour at which others were here.
            inactive_days=(now - people[one.profile_id].last_active_at).days,
            expected_likes=shown[one.profile_id].expected_likes,
            impressions=shown[one.profile_id].impressions,
            age_days=(now - people[one.profile_id].created_at).days,
        )
        for one in found
        if one.profile_id in people
    ]


def _liking(
    viewer: Profile, ids: Collection[uuid.UUID], space: Space
) -> Mapping[uuid.UUID, float]:
    """Log-odds that each of these people likes the viewer, where a taste is known."""
    own = selectors.features_of([viewer.pk], space=space).get(viewer.pk)
    if own is None:
        return {}
    learned = tastes.weights_of(ids, space)
    return {pk: float(np.dot(weights, own)) for pk, weights in learned.items()}
