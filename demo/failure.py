"""What can go wrong in the demo, in words for whoever runs it."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""
