"""Numbers of half precision as Postgres is told of them, and distances by them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import orjson

from matching.features import STORED_WIDTH
from matching.index.conditions import Sql

# What a half rounds away is too small for a half's exponent.
SCALE = 2048

# A query as two texts: the numbers as halves, and what these round away.
Halves = tuple[str, str]


def halves(query: npt.NDArray[np.float32]) -> Halves:
    """Of a query (768,)."""
    first = query.astype(np.float16)
    rest = ((query - first) * SCALE).astype(np.float16)
    return as_text(first), as_text(rest)


def distances(query: Halves) -> Sql:
    """-<vector, query> to float32's precision.

    The query in two halves, of which the second is what the first rounds away: twice
    as quick as to make every stored vector a float32 one.
    """
    return Sql(
        f"(vector <#> %s::halfvec({STORED_WIDTH}))"
        f" + (vector <#> %s::halfvec({STORED_WIDTH})) / {SCALE}",
        query,
    )


def as_text(numbers: npt.NDArray[np.float16]) -> str:
    """As Postgres reads a vector, which is as JSON writes a list."""
    return orjson.dumps(numbers, option=orjson.OPT_SERIALIZE_NUMPY).decode()
