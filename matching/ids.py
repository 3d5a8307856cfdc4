"""Many people's ids as one value of a statement."""

from __future__ import annotations

import uuid
from collections.abc import Iterable


def uuid_array(ids: Iterable[uuid.UUID]) -> str:
    """The text of a uuid[]: a list of ids would take ten times as long to write."""
    return "{" + ",".join([pk.hex for pk in ids]) + "}"
