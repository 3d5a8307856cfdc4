"""Django's commands that need no service, and what their settings load with instead."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from twinby.embedded.services import given

STANDALONE_COMMANDS = frozenset(
    {"annotatephotos", "evaluate", "exportopenapi", "trainencoder"}
)
NO_DATABASE = "postgres://nobody@127.0.0.1:1/none"  # refuses at once if it is asked


def is_standalone(arguments: Sequence[str]) -> bool:
    """Whether the arguments of manage.py name a command that needs no service."""
    return bool(arguments) and arguments[0] in STANDALONE_COMMANDS


def stand_ins() -> dict[str, str]:
    """Values for what the settings insist on and the caller has not given."""
    values = {
        "DATABASE_URL": NO_DATABASE,
        "TWINBY_SECRET_KEY": secrets.token_urlsafe(64),
    }
    return {name: text for name, text in values.items() if not given(name)}
