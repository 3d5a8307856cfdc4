"""Where a benchmark may write for real: a database, a queue and a folder of its own."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dramatiq
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.test.utils import override_settings


class InUseError(Exception):
    """Another benchmark is at work in the database; the message says so."""


FOLDER_STORAGE = "django.core.files.storage.FileSystemStorage"


@contextmanager
def own_surroundings() -> Iterator[None]:
    """All three: nothing is left behind, and no worker takes part.

    Raises InUseError if another benchmark is under way.
    """
    with ExitStack() as stack:
        stack.enter_context(ended_in_order())
        for own in (own_database, own_queue, own_folder):
            stack.enter_context(own())
        yield


@contextmanager
def ended_in_order() -> Iterator[None]:
    """Who is told to stop removes what is theirs, as after Ctrl-C."""

    def stop(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def own_database() -> Iterator[None]:
    """An empty one beside the configured one, dropped afterwards.

    Workers in threads commit for real, which a rolled back transaction cannot show.
    What a killed benchmark has left is dropped first. Raises InUseError.
    """
    name, names = connection.settings_dict["NAME"], connection.settings_dict["TEST"]
    before, names["NAME"] = names["NAME"], f"{name}_bench"
    connection.close_pool()  # type: ignore[attr-defined]
    try:
        drop(names["NAME"])
    except BaseException:
        names["NAME"] = before
        raise
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connections.close_all()
        connection.creation.destroy_test_db(name, verbosity=0)
        names["NAME"] = before


def drop(name: str) -> None:
    """Remove a database, if there is one that nobody uses. Raises InUseError."""
    creation: Any = connection.creation
    try:
        with creation.connection._nodb_cursor() as cursor:  # noqa: SLF001
            cursor.execute(f"DROP DATABASE IF EXISTS {connection.ops.quote_name(name)}")
    except OperationalError:
        raise InUseError(f"Another benchmark is using {name}: wait for it.") from None


@contextmanager
def own_queue() -> Iterator[None]:
    """Messages are sent, to queues that nobody reads, and thrown away."""
    broker: Any = dramatiq.get_broker()
    namespace = getattr(broker, "namespace", "")
    broker.namespace = f"{namespace}-bench"
    try:
        yield
    finally:
        broker.flush_all()
        broker.namespace = namespace


@contextmanager
def own_folder() -> Iterator[None]:
    """Files go to a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        storage = {"BACKEND": FOLDER_STORAGE, "OPTIONS": {"location": folder}}
        with override_settings(STORAGES={**settings.STORAGES, "default": storage}):
            yield
