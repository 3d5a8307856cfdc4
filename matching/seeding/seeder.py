"""A crowd of people who do not exist, as dense as the real one they are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from django.conf import settings
from django.db import connections
from django.utils import timezone

from annotation import services as annotation
from matching import heads, spaces
from matching.features import probabilities
from matching.index import lists
from matching.models import Space
from matching.seeding import crowd, rows
from matching.seeding.declarations import Member, declarations, members
from matching.seeding.likeness import FloatArray, Readings, likeness, vary
from matching.seeding.sources import RealPairs
from profiles.models import Client

BATCH = 2_000


class Seeder:
    """Draws people around real ones, and writes a batch while the next is drawn."""

    def __init__(
        self, client: Client, space: Space, real: RealPairs, seed: int
    ) -> None:
        self.client = client
        self.space = space
        self.frame = spaces.feature_space(space)
        self.real = real
        self.rng = np.random.default_rng(seed)
        self.members = members(settings.TRAINING_DATA, self.rng)
        self.like = likeness(real.first, real.second)
        self.rows_of = {
            gender: np.flatnonzero(real.genders == gender)
            for gender in np.unique(real.genders)
        }

    def seed(self, count: int, *, step: Callable[[int], None]) -> dict[str, Any]:
        """`count` people; what was done, and how near neighbours are, in figures."""
        started = time.perf_counter()
        # Lists that were fitted to few would serve a million badly.
        lists.drop(self.space)
        batches = self._written(count)
        first = next(batches)
        nearest = crowd.Nearest(first.features[: len(self.real.genders)])
        for batch in chain([first], batches):
            nearest.see(batch.features)
            step(len(batch.features))
        rows.analyze()
        seconds = time.perf_counter() - started
        return {
            "count": count,
            "seconds": round(seconds, 2),
            "people_per_second": round(count / seconds, 1),
            "client_id": str(self.client.pk),
            "space": self.space.version,
            "source": self.real.source,
            "nearest_neighbour": self._neighbours(nearest),
        }

    def _written(self, count: int) -> Iterator[rows.Batch]:
        """Batches that are in the database; the next one is drawn meanwhile."""
        sizes = [min(BATCH, count - done) for done in range(0, count, BATCH)]
        with ThreadPoolExecutor(max_workers=1) as writer:
            waiting = None
            for size in sizes:
                drawn = self._draw(size)
                if waiting:
                    yield waiting.result()
                waiting = writer.submit(rows.write, self.client, self.space, drawn)
            if waiting:
                yield waiting.result()
            writer.submit(connections.close_all).result()

    def _draw(self, count: int) -> rows.Batch:
        """So many people who are not in the database yet."""
        now = timezone.now()
        chosen = self._members(count)
        photos = vary(self._likes_of(chosen), self.like, self.rng).stored()
        read = self._as_read(photos)
        features = self._features(read)
        return rows.Batch(
            declared=declarations(chosen, self.rng, now),
            photos=photos,
            read=read,
            features=features,
            vectors=crowd.packed(self.frame, features),
            made_at=now,
        )

    def _members(self, count: int) -> list[Member]:
        return [
            self.members[i] for i in self.rng.integers(len(self.members), size=count)
        ]

    def _likes_of(self, chosen: list[Member]) -> Readings:
        """A real photo for each, of somebody labelled with the same gender."""
        alike = [self.rows_of[member.gender] for member in chosen]
        chance = self.rng.random(len(chosen))
        picked = [own[int(c * len(own))] for own, c in zip(alike, chance, strict=True)]
        return self.real.first[picked]

    def _as_read(self, photos: Readings) -> Readings:
        """By the space's reader: rows keep what was said before any calibration."""
        if not annotation.is_calibrated(self.frame.model):
            return photos
        read = annotation.calibrated(self.frame.model, photos.attributes())
        p, seen = probabilities(read)
        return replace(photos, p=p, seen=seen)

    def _features(self, photos: Readings) -> FloatArray:
        project = heads.projection(self.frame.projection)
        return crowd.features(self.frame, photos, project)

    def _neighbours(self, seeded: crowd.Nearest) -> dict[str, Any]:
        """Real people beside as many seeded ones, and beside the whole crowd."""
        pairs = (self.real.first, self.real.second)
        one, other = (self._features(self._as_read(photos)) for photos in pairs)
        people = seeded.people
        return {
            "real": crowd.among_themselves(one[: len(people)]),
            "seeded": crowd.among_themselves(people),
            "seeded_all": seeded.distances(),
            "two_photos_of_one_real_person": crowd.percentiles(
                np.linalg.norm(one - other, axis=1)
            ),
        }
