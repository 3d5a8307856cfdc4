"""Seeded people into the database, by COPY: the same rows that the services write."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from django.db import connection, models, transaction
from pgvector import HalfVector
from pgvector.psycopg.halfvec import register_halfvec_info
from psycopg import sql
from psycopg.types import TypeInfo
from psycopg.types.json import Jsonb

from annotation.models import Annotation
from annotation.schema import NOT_VISIBLE, SCHEMA, SCHEMA_VERSION
from annotation.services import active_version
from annotation.services.settling import FEATURES_TYPE
from matching.features import SIZES, VALUE_SLICES, HalfArray
from matching.models import PersonVector, Space
from matching.seeding import crowd
from matching.seeding.declarations import Declaration
from matching.seeding.likeness import DECIMALS, FloatArray, Readings
from profiles.models import Client, Photo, Profile

ABOUT = "Made up for load tests: nobody looks like this."
# No file has this name: whoever asks for the picture is told that there is none.
NO_FILE = "synthetic/no-picture"
SIDE_PIXELS = 448
VECTOR_TYPES = ["uuid", "int8", "halfvec", "jsonb", "int2", "timestamptz"]
TABLES = (Profile, Photo, Annotation, PersonVector)


@dataclass(frozen=True, eq=False)
class Batch:
    """n people with one photo each, of which the active annotator would say `photos`.

    `read` is the same as the space's reader reads it. `features` (n, 644) are the
    people's, `vectors` (n, 768) the same as stored.
    """

    declared: Sequence[Declaration]
    photos: Readings
    read: Readings
    features: FloatArray
    vectors: HalfArray
    made_at: dt.datetime


@transaction.atomic
def write(client: Client, space: Space, batch: Batch) -> Batch:
    """The whole batch or nothing; returns it. They can be found from now on.

    Each person has a photo without a file and its reading, so that they are indexed
    anew, exported and erased like any other.
    """
    with connection.cursor() as cursor:
        # Whoever loses a batch by a crash seeds it again.
        cursor.execute("SET LOCAL synchronous_commit = off")
    people = [uuid.uuid4() for _ in batch.declared]
    pictures = [uuid.uuid4() for _ in batch.declared]
    _copy(Profile, _profiles(client, people, batch))
    _copy(Photo, _photos(people, pictures, batch))
    _copy(Annotation, _annotations(pictures, batch))
    _copy_vectors(_vectors(space, people, batch))
    return batch


def analyze() -> None:
    """Tell the planner how many there are now."""
    with connection.cursor() as cursor:
        for model in TABLES:
            table = sql.Identifier(model._meta.db_table)
            cursor.execute(sql.SQL("ANALYZE {}").format(table))


def _profiles(
    client: Client,
    people: Iterable[uuid.UUID],
    batch: Batch,
) -> Iterator[dict[str, Any]]:
    for pk, fields in zip(people, batch.declared, strict=True):
        yield {
            "id": pk,
            "client": client.pk,
            **vars(fields),
            "about": ABOUT,
            "consented_at": batch.made_at,
            "status": Profile.Status.ACTIVE.value,
            "synthetic": True,
            "created_at": batch.made_at,
            "updated_at": batch.made_at,
        }


def _photos(
    people: Iterable[uuid.UUID], pictures: Iterable[uuid.UUID], batch: Batch
) -> Iterator[dict[str, Any]]:
    for owner, pk in zip(people, pictures, strict=True):
        yield {
            "id": pk,
            "owner": owner,
            "purpose": Photo.Purpose.PROFILE.value,
            "status": Photo.Status.APPROVED.value,
            "approval_source": Photo.ApprovalSource.CURATED.value,
            "status_reason": "",
            "sha256": hashlib.sha256(pk.bytes).hexdigest(),
            "dhash": f"{secrets.randbits(64):064b}",
            "width": SIDE_PIXELS,
            "height": SIDE_PIXELS,
            "display": NO_FILE,
            "annotation": NO_FILE,
            "created_at": batch.made_at,
            "updated_at": batch.made_at,
        }


def _annotations(
    pictures: Sequence[uuid.UUID], batch: Batch
) -> Iterator[dict[str, Any]]:
    version = active_version()
    template, numbers = _reading_template(), _numbers(batch.photos)
    features = batch.photos.features.astype(FEATURES_TYPE)
    for pk, row, seen in zip(pictures, numbers, features, strict=True):
        yield {
            "photo": pk,
            "backend": version.backend,
            "model": version.model,
            "prompt_version": version.prompt,
            "schema_version": SCHEMA_VERSION,
            "status": Annotation.Status.DONE.value,
            "attributes": template % tuple(row),
            "gates": "{}",
            "features": seen.tobytes(),
            "seconds": 0.0,
            "cost_usd": 0,
            "tokens": 0,
            "failure": "",
            "attempts": 0,
            "created_at": batch.made_at,
            "updated_at": batch.made_at,
        }


def _numbers(photos: Readings) -> list[list[float]]:
    """The numbers of a reading in the order of its template, rounded for storage."""
    columns = []
    for index, block in enumerate(VALUE_SLICES.values()):
        columns += [1 - photos.seen[:, [index]], photos.p[:, block]]
    numbers: list[list[float]] = np.hstack(columns).round(DECIMALS).tolist()
    return numbers


@cache
def _reading_template() -> str:
    blocks = (_object((NOT_VISIBLE, *attribute.values)) for attribute in SCHEMA)
    named = (f'"{a.name}": {block}' for a, block in zip(SCHEMA, blocks, strict=True))
    return "{" + ", ".join(named) + "}"


@cache
def _presence_template(known: bytes) -> str:
    names = [
        f"{attribute.name}.{value}"
        for attribute, is_known in zip(SCHEMA, known, strict=True)
        if is_known
        for value in attribute.values
    ]
    return _object(names)


def _object(names: Iterable[str]) -> str:
    """A JSON object with a number still to be filled in for every name."""
    return "{" + ", ".join(f'"{name}": %g' for name in names) + "}"


def _vectors(
    space: Space,
    people: Sequence[uuid.UUID],
    batch: Batch,
) -> Iterator[tuple[Any, ...]]:
    p, known = crowd.presence(batch.read)
    shown = np.repeat(known, SIZES, axis=1)
    for pk, vector, chance, flags, values in zip(
        people, batch.vectors, p.round(DECIMALS), known, shown, strict=True
    ):
        text = _presence_template(flags.tobytes()) % tuple(chance[values].tolist())
        presence = Jsonb(text, dumps=str)
        yield pk, space.pk, HalfVector(vector), presence, 1, batch.made_at


def _copy(model: type[models.Model], rows: Iterable[dict[str, Any]]) -> None:
    """Rows by field name; all of the same fields."""
    everything = list(rows)
    columns = [model._meta.get_field(name).get_attname() for name in everything[0]]  # type: ignore[union-attr]
    with connection.cursor() as cursor, cursor.copy(_statement(model, columns)) as out:
        for row in everything:
            out.write_row(tuple(row.values()))


def _copy_vectors(rows: Iterable[tuple[Any, ...]]) -> None:
    """In binary form: halves as text would take longer than all the rest."""
    columns = ["profile_id", "space_id", "vector", "presence", "photos", "updated_at"]
    statement = _statement(PersonVector, columns) + sql.SQL(" (FORMAT BINARY)")
    with connection.cursor() as cursor:
        halfvec = TypeInfo.fetch(connection.connection, "halfvec")
        register_halfvec_info(cursor.cursor, halfvec)
        with cursor.copy(statement) as out:
            out.set_types(VECTOR_TYPES)
            for row in rows:
                out.write_row(row)


def _statement(model: type[models.Model], columns: Iterable[str]) -> sql.Composed:
    return sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(model._meta.db_table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
    )
