"""Stored vectors, as they are read."""

from __future__ import annotations

import uuid

import numpy as np
import numpy.typing as npt
from django.core.exceptions import EmptyResultSet
from django.db import models

from matching import binary
from matching.index.conditions import Sql
from matching.models import PersonVector


def read_vectors(
    rows: models.QuerySet[PersonVector],
) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    """The (768,) of each person."""
    try:
        asked = rows.values_list("profile_id", "vector").query.sql_with_params()
    except EmptyResultSet:  # nobody was asked for
        return {}
    return read(Sql(*asked))


def read(sql: Sql) -> dict[uuid.UUID, npt.NDArray[np.float64]]:
    """What selects ids and vectors, as {id: (768,)}."""
    # A halfvec comes as its width, two bytes of nothing, and the numbers.
    return {
        pk: np.frombuffer(raw[4:], ">f2").astype(np.float64)
        for pk, raw in binary.rows(sql.text, sql.values)
    }
