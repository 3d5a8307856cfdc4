"""People who may be found, with any features one likes, and no worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from matching import spaces
from matching.features import VISUAL_WIDTH, WIDTH, FloatArray, pack
from matching.models import Feedback, PersonVector
from matching.services.feedback import Event, Outcome, record
from profiles.models import Photo, Profile


def showing(person: Profile, features: FloatArray) -> Profile:
    """The person, published and in the active space with these features (644,)."""
    Photo.objects.get_or_create(
        owner=person,
        purpose=Photo.Purpose.PROFILE,
        status=Photo.Status.APPROVED,
        sha256="0" * 64,
        defaults={"dhash": "0" * 64, "width": 96, "height": 96},
    )
    space = spaces.active_space()
    vector = pack(spaces.feature_space(space), features).tolist()
    PersonVector.objects.update_or_create(
        profile=person, space=space, defaults={"vector": vector, "photos": 1}
    )
    return person


def random_features(seed: int) -> FloatArray:
    """Features of a person, (644,), each block of about unit mean square."""
    scale = np.r_[np.full(VISUAL_WIDTH, VISUAL_WIDTH**-0.5), np.full(132, 0.3)]
    drawn: FloatArray = np.random.default_rng(seed).normal(size=WIDTH) * scale
    return drawn


def crowd(
    people: Iterable[Profile], *, first_seed: int = 0
) -> Iterator[tuple[Profile, FloatArray]]:
    """All of them showing something else."""
    for seed, person in enumerate(people, start=first_seed):
        features = random_features(seed)
        yield showing(person, features), features


def event(kind: Feedback.Kind | str, target: Profile, **more: Any) -> Event:
    """Something said of a person, under a new id."""
    return Event(more.pop("event_id", uuid.uuid4()), str(kind), target.pk, **more)


def say(actor: Profile, kind: Feedback.Kind | str, target: Profile) -> Outcome:
    """Something said of a person, taken in."""
    return record(actor, [event(kind, target)])[0]
