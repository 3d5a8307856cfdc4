"""Statements in binary form behave as all others do."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from django.db import DataError, transaction

from matching import binary

pytestmark = pytest.mark.django_db


def test_values_arrive_as_they_are() -> None:
    one = uuid.uuid4()
    text = "SELECT %(id)s::uuid, 7, '[1,2]'::halfvec"
    assert binary.rows(text, {"id": one}) == [(one, 7, b"\0\2\0\0\x3c\0\x40\0")]
    assert binary.rows("SELECT 1 WHERE %s", [False]) == []


def test_vectors_are_read_as_they_were_stored() -> None:
    numbers = np.arange(2 * 768, dtype=np.float16).reshape(2, 768) / 8
    text = "SELECT %s::halfvec(768) UNION ALL SELECT %s::halfvec(768)"
    sent = binary.rows(text, [str(row) for row in numbers.tolist()])
    assert np.array_equal(binary.vectors(b"".join(one for (one,) in sent)), numbers)


def test_an_error_is_one_of_djangos() -> None:
    with pytest.raises(DataError), transaction.atomic():
        binary.rows("SELECT 1 / %s", [0])
