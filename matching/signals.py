"""News from `matching`. Services emit, inside the transaction that makes it true."""

from __future__ import annotations

from django.dispatch import Signal

people_matched = Signal()  # match_id, profile_ids: two people like each other now
space_activated = Signal()  # space_id: searches use another feature space from now on
