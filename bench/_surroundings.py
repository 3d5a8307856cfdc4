"""Where a benchmark may write for real: a database, a queue and a folder of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dramatiq
from django.conf import settings
from django.db import connection, connections
from django.test.utils import override_settings

FOLDER_STORAGE = "django.core.files.storage.FileSystemStorage"


@contextmanager
def own_surroundings() -> Iterator[None]:
    """All three: nothing is left behind, and no worker takes part."""
    with ExitStack() as stack:
        for own in (own_database, own_queue, own_folder):
            stack.enter_context(own())
        yield


@contextmanager
def own_database() -> Iterator[None]:
    """An empty one beside the configured one, dropped afterwards.

    Workers in threads commit for real, which a rolled back transaction cannot show.
    """
    name, names = connection.settings_dict["NAME"], connection.settings_dict["TEST"]
    before, names["NAME"] = names["NAME"], f"{name}_bench"
    connection.close_pool()  # type: ignore[attr-defined]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        yield
    finally:
        connections.close_all()
        connection.creation.destroy_test_db(name, verbosity=0)
        names["NAME"] = before


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
