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

# Ids, and the vectors of these, (n, 768).
Vectors = tuple[list[uuid.UUID], npt.NDArray[np.float64]]


def read_vectors(rows: models.QuerySet[PersonVector]) -> Vectors:
    """Of everybody in these rows."""
    try:
        asked = rows.values_list("profile_id", "vector").query.sql_with_params()
    except EmptyResultSet:  # nobody was asked for
        return [], binary.vectors(b"")
    return read(Sql(*asked))


def read(sql: Sql) -> Vectors:
    """Of what selects ids and vectors."""
    found = binary.rows(sql.text, sql.values)
    return [pk for pk, _ in found], binary.vectors(b"".join(sent for _, sent in found))
