"""A `Filter` as SQL over one table: the columns beside the vectors say it all. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matching.ids import uuid_array
from matching.index.base import EARTH_RADIUS_KM, Circle, Filter

SMOKES = {
    None: "",
    True: " AND smokes",
    False: " AND smokes IS NOT TRUE",
}
# Great-circle distance in km (Sinnott 1984).
HAVERSINE = (
    f"{2 * EARTH_RADIUS_KM} * asin(sqrt(least(1.0, "
    "power(sin(radians(latitude - %s) / 2), 2) + cos(radians(%s)) * "
    "cos(radians(latitude)) * power(sin(radians(longitude - %s) / 2), 2))))"
)


@dataclass(frozen=True)
class Sql:
    """A piece of SQL with the values of its placeholders."""

    text: str
    values: tuple[Any, ...] = ()

    def __add__(self, other: Sql) -> Sql:
        return Sql(self.text + other.text, self.values + other.values)


def of(space_id: int, genders: Sequence[str], seeking: str) -> Sql:
    """People of some genders in a space who seek one.

    What lists and indexes are partial by must be said in the same words to find them.
    """
    one_of = "= %s" if len(genders) == 1 else f"IN ({', '.join(['%s'] * len(genders))})"
    return Sql(
        f"space_id = %s AND gender {one_of} AND seeking @> (ARRAY[%s])::varchar(10)[]",
        (space_id, *genders, seeking),
    )


def union(selects: Iterable[Sql]) -> Sql:
    """All that some statements select; each may have an order and a limit."""
    first, *others = [Sql("(") + select + Sql(")") for select in selects]
    return sum((Sql(" UNION ALL ") + other for other in others), start=first)


def passing(space_id: int, genders: Sequence[str], wanted: Filter) -> Sql:
    """People of some genders in a space who pass, as conditions joined by AND.

    Numbers that an index must know at planning time are written out, as Django binds
    all values on the client.
    """
    told = Sql(
        " AND client = %s AND birth_date > %s AND birth_date <= %s"
        " AND sought_age_min <= %s AND sought_age_max >= %s" + SMOKES[wanted.smokes],
        (
            *(wanted.client, wanted.born_after, wanted.born_until),
            *(wanted.sought_age, wanted.sought_age),
        ),
    )
    those = of(space_id, genders, wanted.seeking)
    return those + told + _within(wanted.circle) + _wished(wanted)


def without(exclude: Collection[uuid.UUID]) -> Sql:
    """Nobody of these: one text for all of them, which Postgres hashes once."""
    if not exclude:
        return Sql("")
    return Sql(
        " AND profile_id NOT IN (SELECT unnest(%s::uuid[]))", (uuid_array(exclude),)
    )


def among(ids: Collection[uuid.UUID]) -> Sql:
    """Nobody but these."""
    return Sql(" AND profile_id = ANY(%s::uuid[])", (uuid_array(ids),))


def _within(circle: Circle | None) -> Sql:
    """The box lets an index do most of it, the haversine is right."""
    if circle is None:
        return Sql("")
    ranges = circle.longitudes()
    box = Sql(
        " AND latitude BETWEEN %s AND %s AND ("
        + " OR ".join(["longitude BETWEEN %s AND %s"] * len(ranges))
        + ")",
        (*circle.latitudes(), *(bound for pair in ranges for bound in pair)),
    )
    place = (circle.latitude, circle.latitude, circle.longitude)
    return box + Sql(f" AND {HAVERSINE} <= %s", (*place, circle.radius_km))


def _wished(wanted: Filter) -> Sql:
    """A must needs a known value, a never passes where none is."""
    sql = Sql("")
    for wish in wanted.must:
        sql += Sql(" AND (presence ->> %s)::float8 >= %s", (wish, wanted.threshold))
    for wish in wanted.never:
        sql += Sql(
            " AND coalesce((presence ->> %s)::float8, 0) <= %s",
            (wish, wanted.threshold),
        )
    return sql
