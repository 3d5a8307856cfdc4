"""Many people's ids as one value."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable


def uuid_array(ids: Iterable[uuid.UUID]) -> str:
    """The text of a uuid[] of Postgres: to write a list takes ten times as long."""
    return "{" + ",".join([pk.hex for pk in ids]) + "}"


def fingerprint(ids: Iterable[uuid.UUID]) -> str:
    """A name of these people in whatever order; others have another."""
    return hashlib.sha256(b"".join(sorted([pk.bytes for pk in ids]))).hexdigest()
