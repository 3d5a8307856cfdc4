"""Rows in binary form: a vector as text is twice as large, and slower to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import psycopg
from django.db import connection

from matching.features import STORED_WIDTH

# A stored vector as Postgres sends it: its width, two bytes of nothing, the numbers.
SENT: Final = np.dtype([("head", ">i2", 2), ("vector", ">f2", STORED_WIDTH)])


def rows(text: str, values: Sequence[Any] | Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a statement selects. Raises the errors of django.db, as other queries do."""
    # Django's own cursors bind on the client, which knows no binary form.
    with connection.wrap_database_errors, connection.cursor() as client:
        bound = client.mogrify(text, values).encode()
        with psycopg.Cursor(connection.connection) as cursor:
            return cursor.execute(bound, binary=True).fetchall()


def vectors(sent: bytes) -> npt.NDArray[np.float64]:
    """Stored vectors (n, 768) as they were sent, one after another."""
    read: npt.NDArray[np.float64] = np.frombuffer(sent, SENT)["vector"].astype(float)
    return read
