"""What of a person's feedback teaches their taste: likes and passes that stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from matching import binary
from matching.features import unpack
from matching.models import Feedback, Space
from matching.preference.labels import LabelKind, weight
from profiles.models import Profile

# The latest so many: they bound the work of a like, and tastes change.
MAX_LABELS: Final = 200
# To look one up takes a tenth of what it takes to ask the class.
KINDS: Final = {kind.value: kind for kind in LabelKind}

# The last word on each of the latest people who are in this space, oldest first, as one
# row of lists: hundreds of rows would take longer to hand over than to find.
LABELS = """
WITH latest AS (
    SELECT id, target_id, kind, created_at FROM matching_feedback
    WHERE actor_id = %(actor)s AND id <= %(until)s
    AND kind IN ('like', 'super_like', 'pass')
    AND withdrawn_at IS NULL AND forgotten_at IS NULL
    ORDER BY id DESC LIMIT %(limit)s
), last_words AS (
    SELECT DISTINCT ON (target_id) * FROM latest ORDER BY target_id, id DESC
)
SELECT
    array_agg(said.id ORDER BY said.id),
    array_agg(said.kind ORDER BY said.id),
    array_agg(%(today)s - said.created_at::date ORDER BY said.id),
    string_agg(halfvec_send(person.vector), ''::bytea ORDER BY said.id)
FROM last_words said
JOIN matching_personvector person
ON person.profile_id = said.target_id AND person.space_id = %(space)s
"""


# As `standing`, of which it is the last.
LATEST = """
SELECT max(id) FROM matching_feedback
WHERE actor_id = %s AND kind IN ('like', 'super_like', 'pass')
AND withdrawn_at IS NULL AND forgotten_at IS NULL
"""


@dataclass(frozen=True, eq=False)
class Labels:
    """n labels, oldest first: `ids` (n,) and kinds, each with its person's features,
    `examples` (n, 644), and what it counts, `weights` (n,)."""

    ids: npt.NDArray[np.int64]
    kinds: tuple[LabelKind, ...]
    examples: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    @property
    def liked(self) -> npt.NDArray[np.bool_]:
        """(n,): the others were passed."""
        likes = {kind for kind in LabelKind if kind.liked}
        return np.array([kind in likes for kind in self.kinds], dtype=np.bool_)


def of(profile: Profile, space: Space, *, until: int | None = None) -> Labels:
    """The labels that teach; those up to the label of this id, if one is given."""
    asked: dict[str, Any] = {
        "actor": profile.pk,
        "space": space.pk,
        "until": 2**63 - 1 if until is None else until,
        "limit": MAX_LABELS,
        "today": timezone.now().date(),  # ages in days: the same taste all day long
    }
    ((ids, kinds, days, vectors),) = binary.rows(LABELS, asked)
    said = [*zip(map(KINDS.__getitem__, kinds or ()), days or (), strict=True)]
    counts = {one: weight(*one) for one in set(said)}
    return Labels(
        np.array(ids or (), dtype=np.int64),
        tuple(kind for kind, _ in said),
        unpack(binary.vectors(vectors or b"")),
        np.array([counts[one] for one in said]),
    )


def latest(profile: Profile) -> int:
    """The id of the person's latest label, 0 before the first: a moment to go by."""
    with connection.cursor() as cursor:
        cursor.execute(LATEST, [profile.pk])
        return cursor.fetchone()[0] or 0


def standing(profile: Profile) -> QuerySet[Feedback]:
    """All of the person's labels that were neither undone nor forgotten."""
    return teaching().filter(actor=profile)


def teaching() -> QuerySet[Feedback]:
    """Everybody's labels that were neither undone nor forgotten."""
    return Feedback.objects.filter(
        kind__in=Feedback.LABELS,
        withdrawn_at__isnull=True,
        forgotten_at__isnull=True,
    )
