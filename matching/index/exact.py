"""Everybody in memory, one after another: slow, and right by being plain. Pure."""

from __future__ import annotations

import math
import uuid
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from matching.index.base import (
    EARTH_RADIUS_KM,
    Circle,
    Declared,
    Effort,
    Entry,
    Filter,
    Hit,
)


class ExactIndex:
    """The oracle of the contract, and what an engine's recall is measured against."""

    def __init__(self) -> None:
        self._entries: dict[uuid.UUID, Entry] = {}

    def upsert(self, entries: Sequence[Entry]) -> None:
        self._entries |= {entry.id: entry for entry in entries}

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        for pk in ids:
            self._entries.pop(pk, None)

    def search(
        self,
        query: npt.NDArray[np.float32],
        wanted: Filter,
        *,
        k: int,
        exclude: Collection[uuid.UUID] = (),
        effort: Effort = Effort.THOROUGH,
    ) -> list[Hit]:
        out, direction = frozenset(exclude), query.astype(np.float64)
        hits = sorted(
            Hit(-float(entry.vector.astype(np.float64) @ direction), entry.id)
            for entry in self._passing(wanted)
            if entry.id not in out
        )
        return hits[:k]

    def count(self, wanted: Filter, *, exclude: Collection[uuid.UUID] = ()) -> int:
        return sum(entry.id not in exclude for entry in self._passing(wanted))

    def _passing(self, wanted: Filter) -> Iterator[Entry]:
        for entry in self._entries.values():
            if passes(entry, wanted):
                yield entry


def passes(entry: Entry, wanted: Filter) -> bool:
    """Whether a person is wanted, rule by rule as `Filter` states them."""
    told = entry.declared
    return (
        told.client == wanted.client
        and told.gender in wanted.genders
        and wanted.seeking in told.seeking
        and told.sought_age_min <= wanted.sought_age <= told.sought_age_max
        and wanted.born_after < told.birth_date <= wanted.born_until
        and (wanted.circle is None or _is_within(told, wanted.circle))
        and all(entry.presence.get(w, -1) >= wanted.threshold for w in wanted.must)
        and all(entry.presence.get(w, -1) <= wanted.threshold for w in wanted.never)
        and (wanted.smokes is None or (told.smokes is True) == wanted.smokes)
    )


def _is_within(told: Declared, circle: Circle) -> bool:
    """By the chord between the two places as points of a sphere."""
    if told.latitude is None or told.longitude is None:
        return False
    here = _on_sphere(circle.latitude, circle.longitude)
    there = _on_sphere(told.latitude, told.longitude)
    chord = min(2.0, float(np.linalg.norm(here - there)))
    return 2 * EARTH_RADIUS_KM * math.asin(chord / 2) <= circle.radius_km


def _on_sphere(latitude: float, longitude: float) -> npt.NDArray[np.float64]:
    lat, lon = math.radians(latitude), math.radians(longitude)
    flat = math.cos(lat)
    return np.array([flat * math.cos(lon), flat * math.sin(lon), math.sin(lat)])
