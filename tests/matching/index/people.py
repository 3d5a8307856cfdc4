"""People to be found: of mixed ages, genders, places and looks, as entries and rows."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from matching.features import STORED_WIDTH, WIDTH
from matching.index.base import Circle, Declared, Entry, Filter
from profiles.models import Client, Gender, Profile

CLIENT = uuid.UUID(int=1)
OTHER_CLIENT = uuid.UUID(int=2)
DAY = dt.date(2026, 1, 1)
RADIUS = 4.0
# Real people differ by few directions, too.
SPREAD = 0.985 ** np.arange(WIDTH)
SPREAD /= np.linalg.norm(SPREAD)
# Beside the antimeridian, across it, at the pole, and far away.
PLACES = ((-17.0, 179.9), (-17.0, -179.9), (89.95, 0.0), (51.5, -0.1), (None, None))
WANTED = Filter(
    client=CLIENT,
    genders=("woman",),
    seeking="man",
    sought_age=30,
    born_after=dt.date(1900, 1, 1),
    born_until=DAY,
)


def vector(features: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float16]]:
    """As stored: of the constant norm RADIUS."""
    stored = np.zeros(STORED_WIDTH, dtype=np.float16)
    stored[:WIDTH] = features
    stored[WIDTH] = np.sqrt(RADIUS**2 - (stored.astype(np.float64) ** 2).sum())
    return stored


def query(rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.float32]]:
    packed = np.zeros(STORED_WIDTH, dtype=np.float32)
    packed[:WIDTH] = rng.normal(size=WIDTH)
    return packed


def woman(rng: np.random.Generator, **fields: Any) -> Entry:
    """One who passes WANTED, unless told otherwise."""
    shown = fields.pop("presence", {})
    told: dict[str, Any] = {
        "client": CLIENT,
        "gender": "woman",
        "seeking": ("man",),
        "birth_date": dt.date(1995, 6, 1),
        "sought_age_min": 18,
        "sought_age_max": 120,
        **fields,
    }
    features = rng.normal(size=WIDTH) * SPREAD
    pk = uuid.UUID(bytes=rng.bytes(16))
    return Entry(pk, vector(features), Declared(**told), shown)


def crowd(count: int, seed: int = 0) -> list[Entry]:
    """All kinds of people."""
    rng = np.random.default_rng(seed)
    entries = []
    for _ in range(count):
        latitude, longitude = PLACES[rng.integers(len(PLACES))]
        low, high = sorted(rng.integers(18, 60, 2).tolist())
        one = woman(
            rng,
            client=(CLIENT, OTHER_CLIENT)[int(rng.random() < 0.1)],
            gender=str(rng.choice(Gender.values)),
            seeking=("man", "woman") if rng.random() < 0.5 else ("man",),
            birth_date=DAY - dt.timedelta(days=int(rng.integers(7_000, 20_000))),
            sought_age_min=low,
            sought_age_max=high,
            smokes=(None, True, False)[rng.integers(3)],
            latitude=latitude,
            longitude=longitude,
            presence={"eyewear.glasses": float(rng.random())}
            if rng.random() < 0.7
            else {},
        )
        entries.append(one)
    return entries


def store(entries: Sequence[Entry]) -> None:
    """The profiles behind the entries, which the database's adapter needs."""
    for number, pk in enumerate((CLIENT, OTHER_CLIENT)):
        Client.objects.get_or_create(
            pk=pk, defaults={"name": f"index-{number}", "secret_hash": "x"}
        )
    Profile.objects.bulk_create(
        [
            Profile(
                pk=entry.id,
                client_id=entry.declared.client,
                **{
                    name: value
                    for name, value in vars(entry.declared).items()
                    if name not in {"client", "seeking"}
                },
                seeking=list(entry.declared.seeking),
            )
            for entry in entries
        ],
        ignore_conflicts=True,
    )


circles = st.builds(
    Circle,
    latitude=st.sampled_from([-17.0, 89.9, 51.5]),
    longitude=st.sampled_from([179.9, -179.9, 0.0]),
    radius_km=st.sampled_from([10.0, 25.0, 400.0, 9_000.0]),
)
filters = st.builds(
    Filter,
    client=st.just(CLIENT),
    genders=st.sampled_from([("woman",), ("man", "woman"), (), tuple(Gender.values)]),
    seeking=st.sampled_from(["man", "woman"]),
    sought_age=st.integers(18, 60),
    born_after=st.sampled_from([dt.date(1900, 1, 1), dt.date(1990, 1, 1)]),
    born_until=st.sampled_from([DAY, dt.date(1992, 1, 1)]),
    circle=st.none() | circles,
    must=st.sampled_from([(), (), ("eyewear.glasses",)]),
    never=st.sampled_from([(), (), ("eyewear.glasses",)]),
    smokes=st.sampled_from([None, None, True, False]),
)
