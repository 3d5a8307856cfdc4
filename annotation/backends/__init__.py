"""The annotators by name. A back end is named by mode, never by vendor."""

from __future__ import annotations

from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from annotation.backends.base import Annotator

BACKENDS = {
    "small": "annotation.backends.small.SmallAnnotator",
    "fake": "annotation.backends.fake.FakeAnnotator",
}


class UnknownBackendError(LookupError):
    """No annotator has this name; the message lists those that there are."""


@cache
def get_annotator(name: str | None = None) -> Annotator:
    """The annotator called `name`, or the configured one; loaded on its first read."""
    wanted = name or settings.ANNOTATOR
    if wanted not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        raise UnknownBackendError(f"No annotator {wanted!r}; there are {known}.")
    annotator: Annotator = import_string(BACKENDS[wanted])()
    return annotator
