"""How people of each space are sketched: by the database itself.

A function of the space makes a vector's sketch, and a trigger (migration 0009) calls it
whenever a vector is written, so that no sketch is ever behind its vector.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from django.db import connection, transaction
from django.db.models import F

from matching.index.sketch import Sketch
from matching.index.vectors import read_vectors
from matching.models import Space

# Enough people to know by which directions they differ most.
SAMPLE_PEOPLE = 20_000
PREFIX = "personvector_sketch_"
LOCK_TIMEOUT = "5s"
# Rows are locked while they are sketched; so only few at a time.
BATCH = 1_000

# It writes `Sketch` out in full.
DEFINITION = """
CREATE OR REPLACE FUNCTION {name}(stored halfvec) RETURNS halfvec
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path FROM CURRENT AS $$
DECLARE
    short float8[] := ARRAY(
        SELECT -(stored <#> direction) - middle
        FROM unnest('{basis}'::halfvec[], '{centre}'::float8[]) AS b(direction, middle)
    );
    square float8 := (SELECT sum(part * part) FROM unnest(short) part);
BEGIN
    RETURN short || sqrt(greatest(0, {length} ^ 2 - square));
END $$
"""
FILL = """
WITH batch AS (
    SELECT id FROM matching_personvector WHERE space_id = %s AND id > %s
    ORDER BY id LIMIT %s
), filled AS (
    UPDATE matching_personvector v SET sketch = {name}(vector)
    FROM batch WHERE v.id = batch.id AND v.sketch IS NULL
)
SELECT max(id) FROM batch
"""


def define(space: Space) -> None:
    """Sketch everybody in this space, and whoever comes: fitted once and for all.

    Raises OperationalError where a writer keeps the table for long: try again later.
    """
    found = Space.objects.filter(pk=space.pk)
    if found.filter(sketch=None).exists():
        found.update(sketch=Sketch.fit(_sample(space)).to_bytes())
    if not _is_defined(space.pk):
        with transaction.atomic(), connection.cursor() as cursor:
            # Whoever writes a vector either is done, and is sketched below, or waits;
            # and others wait behind this, so not for long.
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute(
                "LOCK TABLE matching_personvector IN SHARE ROW EXCLUSIVE MODE"
            )
            cursor.execute(_definition(space.pk))
    _fill(space.pk)


def are_incomplete(space: Space) -> bool:
    """Whether people of a space that is sketched are not; no list knows these."""
    unknown = space.vectors.filter(sketch=None)
    return _is_defined(space.pk) and unknown.exists()


@lru_cache(maxsize=4)
def sketch_of(space_id: int) -> Sketch:
    """How people of this space are sketched; only once it is defined."""
    kept = Space.objects.values_list("sketch", flat=True).get(pk=space_id)
    return Sketch.from_bytes(bytes(kept or b""))


def forget_all_but(spaces: Container[int]) -> None:
    """Sketch nobody of any other space any more."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname FROM pg_proc WHERE starts_with(proname, %s)"
            " AND pronamespace = current_schema()::regnamespace",
            [PREFIX],
        )
        for (name,) in cursor.fetchall():
            if int(name.removeprefix(PREFIX)) not in spaces:
                cursor.execute(f"DROP FUNCTION IF EXISTS {name}(halfvec)")


def _is_defined(space_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regproc(%s) IS NOT NULL", [_function(space_id)])
        return bool(cursor.fetchone()[0])


def _function(space_id: int) -> str:
    return f"{PREFIX}{int(space_id)}"


def _definition(space_id: int) -> str:
    sketch = sketch_of(space_id)
    rows = ",".join(f'"[{_listed(row)}]"' for row in sketch.basis)
    return DEFINITION.format(
        name=_function(space_id),
        basis=f"{{{rows}}}",
        centre=f"{{{_listed(sketch.centre)}}}",
        length=sketch.length,
    )


def _listed(numbers: npt.NDArray[np.float16]) -> str:
    return ",".join(f"{number:.5g}" for number in numbers.tolist())


def _fill(space_id: int) -> None:
    fill, last = FILL.format(name=_function(space_id)), 0
    with connection.cursor() as cursor:
        while last is not None:
            cursor.execute(fill, [space_id, last, BATCH])
            last = cursor.fetchone()[0]


def _sample(space: Space) -> npt.NDArray[np.float64]:
    """Vectors (n, 768) of people as good as drawn by lot."""
    step = max(1, -(-space.vectors.count() // SAMPLE_PEOPLE))
    drawn = space.vectors.annotate(turn=F("id") % step).filter(turn=0)
    return read_vectors(drawn)[1]
