"""How many people a search can find, and how many of them show which value."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.db import connection

from annotation.schema import value_names
from matching import cache, selectors, spaces
from matching.ids import fingerprint
from matching.index.conditions import Sql, passing, without
from matching.index.pgvector import PgvectorIndex
from matching.models import Space
from matching.selectors import Filters
from profiles.models import Profile

# Enough to know a share of one in a hundred to a third of itself.
SAMPLE_PEOPLE = 5_000
# For so long may others come and go unnoticed; the viewer's own changes show at once.
KEPT_SECONDS = 60
ALL_IDS = 2**128

# First who passes: Postgres would rather look at what everybody shows. What is shown is
# counted from each person's presence: {"eyewear.glasses": 0.93}.
PASSED: Final = (
    "WITH passed AS MATERIALIZED (SELECT profile_id, presence"
    " FROM matching_personvector WHERE "
)
SHOWN: Final = "), person AS MATERIALIZED (SELECT presence FROM passed"
VALUES: Final = (
    ") SELECT NULL, count(*) FROM person UNION ALL SELECT known.key, count(*)"
    " FROM person, jsonb_each_text(person.presence) AS known"
    " WHERE known.value::float >= %s GROUP BY known.key"
)


@dataclass(frozen=True)
class Facets:
    """`people` who pass; `values` {"eyewear.glasses": 120} is scaled if `estimated`.

    Of many, `people` is by the index: whoever has left this moment is in it until a
    worker has heard. Of few, and in `values`, they are left out at once.
    """

    people: int
    values: dict[str, int]
    estimated: bool


def facets(viewer: Profile, filters: Filters) -> Facets:
    """Of the people who pass every filter: how many there are, and what they show.

    Kept for a minute, or until the viewer changes or blocks somebody.
    """
    space = spaces.active_space()
    owner, name = kept_for(viewer.pk), _name(space, filters)
    known = cache.kept(owner, name)
    if known is None:
        known = _counted(viewer, space, filters)
        cache.keep(owner, name, known, seconds=KEPT_SECONDS)
    people, values, estimated = known
    return Facets(people, values, estimated)


def kept_for(viewer_id: uuid.UUID) -> str:
    """Under which name a person's counts are kept."""
    return f"facets:{viewer_id}"


def _name(space: Space, filters: Filters) -> str:
    fixed = {**filters.__dict__, "exclude": fingerprint(filters.exclude)}
    asked = repr((space.version, settings.WISH_THRESHOLD, sorted(fixed.items())))
    return hashlib.sha256(asked.encode()).hexdigest()[:24]


def _counted(
    viewer: Profile, space: Space, filters: Filters
) -> tuple[int, dict[str, int], bool]:
    wanted = selectors.wanted_of(viewer, filters)
    if not wanted.genders or viewer.status == Profile.Status.BLOCKED:
        return 0, {}, False
    out = {viewer.pk, *filters.exclude, *selectors.blocked_with(viewer)}
    people = PgvectorIndex(space).count(wanted, exclude=out)
    rows = passing(space.pk, wanted.genders, wanted) + without(out)
    if people <= SAMPLE_PEOPLE:
        return *_shown(rows), False
    share = SAMPLE_PEOPLE / people
    # Ids are random, so that the lowest of them are a fair sample.
    last = uuid.UUID(int=int(share * ALL_IDS) - 1)
    _, found = _shown(rows + Sql(" AND profile_id <= %s", (last,)))
    return people, {name: round(n / share) for name, n in found.items()}, True


def _shown(rows: Sql) -> tuple[int, dict[str, int]]:
    """How many of these may be found at this moment, and what they show."""
    still = Sql(" WHERE profile_id IN (") + selectors.searchable() + Sql(")")
    counted = Sql(PASSED) + rows + Sql(SHOWN) + still
    counted += Sql(VALUES, (settings.WISH_THRESHOLD,))
    with connection.cursor() as cursor:
        cursor.execute(counted.text, counted.values)
        found = dict(cursor.fetchall())
    names = [f"{attribute.name}.{value}" for attribute, value in value_names()]
    return found[None], {name: found[name] for name in names if name in found}
