"""What a search needs of an engine, in words that no engine has chosen. Pure.

Whoever stores vectors elsewhere writes an adapter and runs `tests/matching/index` over
it: the contract that every adapter keeps.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0088  # mean radius, IUGG
KM_PER_DEGREE = EARTH_RADIUS_KM * math.pi / 180

FloatArray = npt.NDArray[np.floating]


class Effort(Enum):
    """How much may be read to find the nearest."""

    THOROUGH = "thorough"  # hardly anybody nearer is passed over
    EXACT = "exact"  # nobody is


@dataclass(frozen=True)
class Circle:
    """All places within `radius_km` of great circle around one, in degrees."""

    latitude: float
    longitude: float
    radius_km: float

    def latitudes(self) -> tuple[float, float]:
        """The southernmost and the northernmost latitude in it."""
        reach = self.radius_km / KM_PER_DEGREE
        return self.latitude - reach, self.latitude + reach

    def longitudes(self) -> list[tuple[float, float]]:
        """Ranges that hold all of it: two across the antimeridian, all at a pole."""
        reach = self.radius_km / KM_PER_DEGREE
        if abs(self.latitude) + reach >= 90:
            return [(-180.0, 180.0)]
        sine = math.sin(math.radians(reach)) / math.cos(math.radians(self.latitude))
        width = math.degrees(math.asin(min(1.0, sine)))
        west, east = self.longitude - width, self.longitude + width
        if west < -180:
            return [(-180.0, east), (west + 360, 180.0)]
        if east > 180:
            return [(west, 180.0), (-180.0, east - 360)]
        return [(west, east)]


@dataclass(frozen=True)
class Filter:
    """Who may be found: whoever passes all of it. None and empty wishes ask nothing.

    A person passes who belongs to `client`, is of one of `genders`, seeks `seeking` and
    the age `sought_age`, was born after `born_after` and not after `born_until`, and
    lives within the `circle`. `must` and `never` name "attribute.value": a must needs a
    presence of at least `threshold`, a never one of at most that, or none known.
    `smokes` asks what is declared: True for a yes, False for anything but a yes.
    """

    client: uuid.UUID
    genders: tuple[str, ...]
    seeking: str
    sought_age: int
    born_after: dt.date
    born_until: dt.date
    circle: Circle | None = None
    must: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    threshold: float = 0.5
    smokes: bool | None = None


@dataclass(frozen=True)
class Declared:
    """What a person says of themselves, as far as others filter by it."""

    client: uuid.UUID
    gender: str
    seeking: tuple[str, ...]
    birth_date: dt.date
    sought_age_min: int
    sought_age_max: int
    smokes: bool | None = None
    latitude: float | None = None
    longitude: float | None = None


@dataclass(frozen=True, eq=False)
class Entry:
    """A person to be found: `vector` (768,) of the space's constant norm.

    `presence` {"attribute.value": probability} is what `photos` of them show.
    """

    id: uuid.UUID
    vector: npt.NDArray[np.float16]
    declared: Declared
    presence: Mapping[str, float] = field(default_factory=dict)
    photos: int = 1


@dataclass(frozen=True, order=True)
class Hit:
    """Somebody found; `distance` is -<vector, query>, and equal ones go by id.

    `is_exact` where everybody was read, so that nobody nearer was passed over.
    """

    distance: float
    id: uuid.UUID
    is_exact: bool = field(default=True, compare=False)


class Index(Protocol):
    """People of one feature space, to be found by inner product."""

    def upsert(self, entries: Sequence[Entry]) -> None:
        """Let these be found from now on, as they are now."""

    def delete(self, ids: Collection[uuid.UUID]) -> None:
        """Let these not be found any more; unknown ones are none."""

    def search(
        self,
        query: npt.NDArray[np.float32],
        wanted: Filter,
        *,
        k: int,
        exclude: Collection[uuid.UUID] = (),
        effort: Effort = Effort.THOROUGH,
    ) -> list[Hit]:
        """The nearest `k` to `query` (768,) who pass, by (distance, id).

        Fewer than k only where no more pass, whatever the effort. Distances are exact
        to float32.
        """

    def count(self, wanted: Filter, *, exclude: Collection[uuid.UUID] = ()) -> int:
        """How many pass, exactly."""
