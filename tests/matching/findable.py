"""People who can be found, without a photo being read."""

from __future__ import annotations

import math
import uuid

import numpy as np
from pgvector import HalfVector

from matching.features import STORED_WIDTH, WIDTH
from matching.models import PersonVector, Space
from profiles.models import Photo, Profile

RNG = np.random.default_rng(7)


def index(person: Profile, space: Space, **presence: float) -> Profile:
    """A searchable person with a random vector and a curated photo without files."""
    Photo.objects.create(
        owner=person,
        purpose=Photo.Purpose.PROFILE,
        status=Photo.Status.APPROVED,
        approval_source=Photo.ApprovalSource.CURATED,
        sha256=uuid.uuid4().hex,
        dhash="0" * 64,
        width=1,
        height=1,
    )
    vector = np.zeros(STORED_WIDTH)
    vector[:WIDTH] = RNG.normal(size=WIDTH) / math.sqrt(WIDTH)
    named = {name.replace("__", "."): p for name, p in presence.items()}
    PersonVector.objects.create(
        profile=person, space=space, vector=HalfVector(vector), presence=named
    )
    return person
