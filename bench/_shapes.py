"""Who searches, by what, with which filters; and everybody in memory, for the truth."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from django.db import connection, transaction
from django.db.models import Count
from django.utils import timezone

from annotation.models import Annotation
from annotation.schema import SCHEMA_VERSION
from annotation.services import active_version
from annotation.services.settling import FEATURES_TYPE
from matching import selectors
from matching.features import WIDTH
from matching.management.commands.seedpeople import cache_folder
from matching.models import Space
from matching.search import Query
from matching.seeding.sources import london_pairs
from matching.selectors import Filters
from profiles import services as people
from profiles.models import Gender, Photo, Profile, years_before

K = 20
LIKED = DISLIKED = 5
FETCHED = 5_000
SEEN = 10_000
RARE_SHARE = 0.001
TIE = 1e-3
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """A filter shape; `nearest_seen` excludes the nearest of each query itself."""

    name: str
    filters: Filters
    nearest_seen: int = 0


class Oracle:
    """All vectors of the viewer's client in memory, for exact answers."""

    def __init__(self, viewer: Profile, space: Space) -> None:
        rows = space.vectors.filter(client=viewer.client_id)
        wanted = rows.values_list("profile_id", "vector").query.sql_with_params()
        count = rows.count()
        self.ids: list[uuid.UUID] = []
        self.vectors: Floats = np.empty((count, WIDTH), dtype=np.float32)
        # Django's own cursors bind on the client, which has no binary form.
        with psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(*wanted, binary=True)
            while found := cursor.fetchmany(FETCHED):
                start = len(self.ids)
                self.ids += [pk for pk, _ in found]
                # A halfvec comes as its width, two bytes of nothing, and the numbers.
                halves = [np.frombuffer(raw[4:], ">f2")[:WIDTH] for _, raw in found]
                self.vectors[start : len(self.ids)] = halves

    @cached_property
    def row_of(self) -> dict[uuid.UUID, int]:
        return {pk: row for row, pk in enumerate(self.ids)}

    def rows(self, ids: Any) -> npt.NDArray[np.int64]:
        return np.array([self.row_of[pk] for pk in ids], dtype=np.int64)

    def nearest(
        self, taste: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], count: int
    ) -> npt.NDArray[np.int64]:
        """The first `count` of these rows by inner product, exactly."""
        scores = self.vectors[rows] @ taste.astype(np.float32)
        count = min(count, len(rows))
        if not count:
            return rows[:0]
        return rows[np.argpartition(-scores, count - 1)[:count]]

    def recall(
        self,
        taste: npt.NDArray[np.float64],
        found: npt.NDArray[np.int64],
        rows: npt.NDArray[np.int64],
    ) -> float:
        """The share of the first K found, of whom equal ones are as good."""
        best = self.vectors[self.nearest(taste, rows, K)] @ taste
        if not len(best):
            return 1.0
        scores = self.vectors[found[:K]] @ taste
        return min(1.0, float((scores >= best.min() - TIE).sum() / len(best)))


@contextmanager
def searcher(space: Space) -> Iterator[Profile]:
    """A man of thirty in London who seeks everybody, with London's photos as anchors.

    Among the most people there are; he goes again afterwards.
    """
    rows = space.vectors.values("profile__client").annotate(people=Count("pk"))
    busiest = rows.order_by("-people").first()
    if busiest is None:
        raise SystemExit("Nobody is there: --people N, ./run demo or seedpeople.")
    viewer = people.create_profile(
        client_id=busiest["profile__client"],
        consent=True,
        synthetic=True,
        birth_date=years_before(timezone.localdate(), 30),
        gender=Gender.MAN,
        seeking=list(Gender),
        latitude=51.51,
        longitude=-0.13,
    )
    try:
        yield viewer
    finally:
        people.erase_profile(viewer)


@transaction.atomic  # a worker would read photos that it sees without a reading
def anchors(viewer: Profile) -> dict[str, list[uuid.UUID]]:
    """Real readings of London's women and men, as photos of the viewer, by gender."""
    real = london_pairs(cache_folder())
    version, ids = active_version(), [uuid.uuid4() for _ in real.genders]
    Photo.objects.bulk_create(
        Photo(
            pk=pk,
            owner=viewer,
            purpose=Photo.Purpose.ANCHOR,
            status=Photo.Status.APPROVED,
            sha256=hashlib.sha256(pk.bytes).hexdigest(),
            dhash="0" * 64,
            width=1,
            height=1,
            expires_at=timezone.now() + timedelta(days=1),
        )
        for pk in ids
    )
    features = real.first.features.astype(FEATURES_TYPE)
    Annotation.objects.bulk_create(
        Annotation(
            photo_id=pk,
            backend=version.backend,
            model=version.model,
            prompt_version=version.prompt,
            schema_version=SCHEMA_VERSION,
            status=Annotation.Status.DONE,
            attributes=said,
            features=seen.tobytes(),
        )
        for pk, said, seen in zip(ids, real.first.attributes(), features, strict=True)
    )
    by_gender: dict[str, list[uuid.UUID]] = {}
    for pk, gender in zip(ids, real.genders.tolist(), strict=True):
        by_gender.setdefault(gender, []).append(pk)
    return by_gender


def queries(photos: dict[str, list[uuid.UUID]], count: int) -> list[Query]:
    """Five liked and five disliked women each."""
    rng = np.random.default_rng(0)
    women = photos[Gender.WOMAN]
    size = LIKED + DISLIKED
    drawn = [rng.choice(len(women), size, replace=False) for _ in range(count)]
    examples = [tuple(women[i] for i in row) for row in drawn]
    return [Query(liked=row[:LIKED], disliked=row[LIKED:], limit=K) for row in examples]


def shapes(viewer: Profile, space: Space) -> list[Shape]:
    """From no filter at all to one person in a thousand."""
    gender = Filters(genders=(Gender.WOMAN,))
    aged = replace(gender, age_min=25, age_max=35)
    everybody = _ids(viewer, space, Filters())
    many = min(SEEN, len(everybody) // 2)
    seen = np.random.default_rng(1).permutation(len(everybody))[:many]
    return [
        Shape("none", Filters()),
        Shape("gender", gender),
        Shape("gender+age", aged),
        Shape("gender+age+50km", replace(aged, radius_km=50)),
        Shape("rare", _rare(viewer, space, aged)),
        Shape("10k seen", Filters(exclude=frozenset(everybody[i] for i in seen))),
        Shape("10k nearest seen", Filters(), nearest_seen=many),
    ]


def _ids(viewer: Profile, space: Space, filters: Filters) -> list[uuid.UUID]:
    rows = selectors.eligible(viewer, space=space, filters=filters)
    return list(rows.order_by("profile_id").values_list("profile_id", flat=True))


def _rare(viewer: Profile, space: Space, filters: Filters) -> Filters:
    """The radius within which one person in a thousand lives, to a tenth of a km."""
    wanted = max(1, round(space.vectors.count() * RARE_SHARE))
    low, high = 0.1, 20_000.0
    while high - low > 0.1:
        middle = (low + high) / 2
        rows = selectors.eligible(
            viewer, space=space, filters=replace(filters, radius_km=middle)
        )
        low, high = (low, middle) if rows.count() >= wanted else (middle, high)
    return replace(filters, radius_km=high)
