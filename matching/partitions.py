"""The months of the impressions: made ahead, and dropped when they are old."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db import connection, transaction
from psycopg import sql

PARENT = "matching_impression"
DEFAULT = f"{PARENT}_default"
# Making and dropping waits no longer for those who read and write, who wait behind it.
LOCK_TIMEOUT = "3s"

# What came before its month was made lies in the default partition and moves along.
MAKE = sql.SQL("""
LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE;
CREATE TABLE {month} (LIKE {parent} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
WITH moved AS (
    DELETE FROM {default} WHERE shown_at >= {start} AND shown_at < {end} RETURNING *
)
INSERT INTO {month} SELECT * FROM moved;
ALTER TABLE {parent} ATTACH PARTITION {month} FOR VALUES FROM ({start}) TO ({end});
""")
DROP = sql.SQL("DROP TABLE {month}")
EXISTING = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %s::regclass
"""
STRAYS = f"SELECT DISTINCT date_trunc('month', shown_at, 'UTC') FROM {DEFAULT}"  # noqa: S608 - a constant


def arrange(today: dt.date, *, ahead: int, keep: int) -> tuple[list[str], list[str]]:
    """Make what is missing of this month, `ahead` more, and any found; drop the old.

    `keep` months before this one stay. Returns the names of those made and dropped.
    """
    this = today.replace(day=1)
    wanted = {_later(this, months) for months in range(ahead + 1)} | _strays()
    there = {name for name in _existing() if name != DEFAULT}
    made = [m for m in sorted(wanted) if name_of(m) not in there]
    for month in made:
        _make(month)
    oldest = name_of(_later(this, -keep))  # names sort as their months do
    old = sorted(n for n in {*there, *map(name_of, made)} if n < oldest)
    for name in old:
        _execute(DROP.format(month=sql.Identifier(name)))
    return [name_of(month) for month in made], old


def name_of(month: dt.date) -> str:
    """The partition's name, such as matching_impression_2026_11."""
    return f"{PARENT}_{month:%Y_%m}"


def _later(month: dt.date, months: int) -> dt.date:
    """The first day of the month so many months later."""
    years, index = divmod(month.month - 1 + months, 12)
    return dt.date(month.year + years, index + 1, 1)


def _existing() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(EXISTING, [PARENT])
        yield from (name for (name,) in cursor.fetchall())


def _strays() -> set[dt.date]:
    with connection.cursor() as cursor:
        cursor.execute(STRAYS)
        return {moment.astimezone(dt.UTC).date() for (moment,) in cursor.fetchall()}


def _make(month: dt.date) -> None:
    start, end = (
        sql.Literal(dt.datetime(day.year, day.month, 1, tzinfo=dt.UTC))
        for day in (month, _later(month, 1))
    )
    names = {"parent": PARENT, "default": DEFAULT, "month": name_of(month)}
    tables = {key: sql.Identifier(name) for key, name in names.items()}
    _execute(MAKE.format(start=start, end=end, **tables))


@transaction.atomic
def _execute(statement: sql.Composed) -> None:
    with connection.cursor() as cursor:
        # What moves along may be millions.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        # As text: one round trip may hold several statements, without parameters.
        cursor.execute(statement.as_string(cursor.cursor))
