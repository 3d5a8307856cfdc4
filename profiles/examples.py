"""Which photos a search may learn from, in one statement made once.

`PhotoQuerySet.usable_as_example` says the same, for everybody who is in less of a
hurry: Django takes longer to write it than Postgres to answer.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from profiles.models import Profile, years_before

# Whoever owns an approved photo has one, as `searchable` asks.
USABLE: Final = """
SELECT photo.id, photo.owner_id
FROM profiles_photo photo JOIN profiles_profile owner ON owner.id = photo.owner_id
WHERE photo.id = ANY(%(photos)s) AND (
    photo.purpose = 'anchor' AND photo.owner_id = %(viewer)s
    AND photo.expires_at > %(now)s
    AND photo.status NOT IN ('rejected', 'quarantined')
    OR photo.purpose = 'profile' AND photo.status = 'approved'
    AND NOT %(blocked)s AND photo.owner_id <> %(viewer)s
    AND owner.client_id = %(client)s
    AND owner.status = 'active' AND owner.consented_at IS NOT NULL
    AND owner.gender = ANY(%(seeking)s) AND %(gender)s = ANY(owner.seeking)
    AND owner.birth_date <= %(born_until)s AND owner.birth_date > %(born_after)s
    AND owner.sought_age_min <= %(age)s AND owner.sought_age_max >= %(age)s
    AND NOT EXISTS (
        SELECT FROM profiles_profile_avoided
        WHERE from_profile_id = owner.id AND to_profile_id = %(viewer)s
        OR from_profile_id = %(viewer)s AND to_profile_id = owner.id
    )
)
"""


def owners_of_usable(
    viewer: Profile, photo_ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, uuid.UUID]:
    """Those of these photos that `viewer` may search by, each with its owner."""
    today = timezone.localdate()
    asked: dict[str, Any] = {
        "photos": list(photo_ids),
        "now": timezone.now(),
        "viewer": viewer.pk,
        "blocked": viewer.status == Profile.Status.BLOCKED,
        "client": viewer.client_id,
        "gender": viewer.gender,
        "seeking": viewer.seeking,
        "age": viewer.age(on=today),
        "born_until": years_before(today, viewer.sought_age_min),
        "born_after": years_before(today, viewer.sought_age_max + 1),
    }
    with connection.cursor() as cursor:
        cursor.execute(USABLE, asked)
        return dict(cursor.fetchall())
