"""What people who do not exist declare: fields of OkCupid's file, or made up ones."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from profiles.models import ADULT_AGE, OLDEST_AGE, Gender, years_before
from profiles.services.people import COARSE_DECIMALS

# Latitude, longitude and population in millions (metropolitan, rounded).
CITIES = (
    (51.51, -0.13, 14),
    (52.52, 13.40, 5),
    (48.86, 2.35, 13),
    (40.42, -3.70, 7),
    (41.90, 12.50, 4),
    (40.71, -74.01, 20),
    (37.77, -122.42, 5),
    (19.43, -99.13, 22),
    (-23.55, -46.63, 22),
    (6.52, 3.38, 15),
    (19.08, 72.88, 21),
    (35.68, 139.69, 37),
)
AROUND_CITY_DEGREES = 0.15
SMOKES = {"no": False, "sometimes": True, "when drinking": True, "yes": True}
SMOKES |= {"trying to quit": True}
GENDERS = {"f": Gender.WOMAN, "m": Gender.MAN}
OPPOSITE = {Gender.WOMAN: Gender.MAN, Gender.MAN: Gender.WOMAN}
# Nobody seeks exactly their own age: years below and above that are welcome.
GAP_YEARS = (3, 15)
ACTIVE_DAYS = 7.0
MADE_UP_PEOPLE = 10_000
OLDEST_MEMBER = 90  # beyond it the file holds typing errors


@dataclass(frozen=True)
class Member:
    """What one OkCupid profile says of the fields that ours have."""

    age: int
    gender: Gender
    seeking: tuple[Gender, ...]
    smokes: bool | None


@dataclass(frozen=True)
class Declaration:
    """The declared fields of one new profile."""

    birth_date: dt.date
    gender: str
    seeking: list[str]
    sought_age_min: int
    sought_age_max: int
    smokes: bool | None
    latitude: float
    longitude: float
    last_active_at: dt.datetime


def members(folder: Path, rng: np.random.Generator) -> list[Member]:
    """The profiles of the OkCupid file; plausible ones where it is absent."""
    file = folder / "okcupid_profiles.csv.gz"
    return list(okcupid(file) if file.exists() else made_up(rng))


def okcupid(file: Path) -> Iterator[Member]:
    """Age, sex, orientation and smoking of real profiles of 2012."""
    with gzip.open(file, "rt", newline="") as lines:
        for row in csv.DictReader(lines):
            age, gender = int(float(row["age"])), GENDERS[row["sex"]]
            if ADULT_AGE <= age <= OLDEST_MEMBER:
                seeking = _sought(gender, row["orientation"])
                yield Member(age, gender, seeking, SMOKES.get(row["smokes"]))


def made_up(rng: np.random.Generator) -> Iterator[Member]:
    """People with the shares of a large dating site, roughly."""
    for _ in range(MADE_UP_PEOPLE):
        gender = Gender.WOMAN if rng.random() < 0.45 else Gender.MAN
        orientation = rng.choice(["straight", "gay", "bisexual"], p=[0.86, 0.09, 0.05])
        age = int(np.clip(ADULT_AGE + rng.gamma(2.2, 6.5), ADULT_AGE, OLDEST_MEMBER))
        smokes = None if rng.random() < 0.1 else bool(rng.random() < 0.2)
        yield Member(age, gender, _sought(gender, str(orientation)), smokes)


def _sought(gender: Gender, orientation: str) -> tuple[Gender, ...]:
    if orientation == "bisexual":
        return (Gender.WOMAN, Gender.MAN)
    return (gender if orientation == "gay" else OPPOSITE[gender],)


def declarations(
    chosen: Sequence[Member], rng: np.random.Generator, now: dt.datetime
) -> list[Declaration]:
    """Profiles of these members, in cities, with what the file does not say made up."""
    count = len(chosen)
    places = _places(count, rng)
    gaps = rng.integers(*GAP_YEARS, size=(count, 2))
    days = rng.integers(0, 365, count)
    idle = rng.exponential(ACTIVE_DAYS, count)
    return [
        Declaration(
            birth_date=years_before(now.date(), member.age) - dt.timedelta(int(day)),
            gender=member.gender.value,
            seeking=[gender.value for gender in member.seeking],
            sought_age_min=max(ADULT_AGE, member.age - int(below)),
            sought_age_max=min(OLDEST_AGE, member.age + int(above)),
            smokes=member.smokes,
            latitude=latitude,
            longitude=longitude,
            last_active_at=now - dt.timedelta(days=float(since)),
        )
        for member, (latitude, longitude), (below, above), day, since in zip(
            chosen, places, gaps, days, idle, strict=True
        )
    ]


def _places(count: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    cities = np.array(CITIES)
    share = cities[:, 2] / cities[:, 2].sum()
    centres = cities[rng.choice(len(cities), count, p=share), :2]
    around = centres + rng.normal(0, AROUND_CITY_DEGREES, (count, 2))
    rounded: list[tuple[float, float]] = around.round(COARSE_DECIMALS).tolist()
    return rounded
