"""What must not run twice at once, in whichever processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, connection


@contextmanager
def alone(job: str) -> Iterator[bool]:
    """Whether nobody else is at the job of this name; nobody is until the block ends.

    A lock of the database's, which ends with its session: a process that is killed
    holds none.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [job])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        # In a transaction that has failed nothing can be said; its session ends soon.
        if is_alone and not connection.needs_rollback:
            with suppress(DatabaseError), connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [job])
