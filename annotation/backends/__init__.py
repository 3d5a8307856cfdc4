"""The annotators by name. A back end is named by mode, never by vendor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from django.conf import settings
from django.utils.module_loading import import_string

from annotation.backends import weights
from annotation.backends.base import Annotator, AnnotatorVersion


@dataclass(frozen=True)
class Backend:
    """Where an annotator is found, and its version, which web processes may know.

    `annotator` is a dotted path, imported in workers only: it may load a runtime.
    """

    annotator: str
    version: Callable[[], AnnotatorVersion]


BACKENDS = {
    "small": Backend(
        "annotation.backends.small.SmallAnnotator",
        weights.version,
    ),
    "fake": Backend(
        "annotation.backends.fake.FakeAnnotator",
        lambda: AnnotatorVersion(backend="fake", model="fake-1"),
    ),
}


class UnknownBackendError(LookupError):
    """No annotator has this name; the message lists those that there are."""


def annotator_version(name: str | None = None) -> AnnotatorVersion:
    """The version of the annotator called `name`, or of the configured one.

    Loads no model. Raises UnknownBackendError.
    """
    return _backend(name or settings.ANNOTATOR).version()


def get_annotator(name: str | None = None) -> Annotator:
    """The annotator called `name`, or the configured one; loaded on its first read.

    Raises UnknownBackendError.
    """
    return _annotator(name or settings.ANNOTATOR)


@cache
def _annotator(name: str) -> Annotator:
    annotator: Annotator = import_string(_backend(name).annotator)()
    return annotator


def _backend(name: str) -> Backend:
    if name not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        raise UnknownBackendError(f"No annotator {name!r}; there are {known}.")
    return BACKENDS[name]
