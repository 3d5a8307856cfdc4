"""The annotators by name. A back end is named by mode, never by vendor."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.utils.module_loading import import_string

from annotation.backends import weights
from annotation.backends.base import Annotator, AnnotatorVersion
from annotation.backends.local.configuration import version as local_version
from annotation.backends.remote.configuration import version as remote_version
from annotation.backends.remote.configuration import worst_cost_usd


@dataclass(frozen=True)
class Backend:
    """Where an annotator is found, and its version, which web processes may know.

    `annotator` is a dotted path, imported in workers only: it may load a runtime.
    `queue` is its workers' queue, `batch` the photos it reads at a time, and
    `worst_cost_usd` what one photo may cost at the most, all its tries together.
    """

    annotator: str
    version: Callable[[], AnnotatorVersion]
    queue: str = "annotation"
    batch: int = 16
    worst_cost_usd: Callable[[], float] = lambda: 0.0


BACKENDS = {
    "small": Backend(
        "annotation.backends.small.SmallAnnotator",
        weights.version,
        batch=32,
    ),
    "local": Backend(
        "annotation.backends.local.annotator.LocalAnnotator",
        local_version,
        queue="gpu",
        batch=64,
    ),
    "remote": Backend(
        "annotation.backends.remote.annotator.RemoteAnnotator",
        remote_version,
        batch=32,
        worst_cost_usd=worst_cost_usd,
    ),
    "fake": Backend(
        "annotation.backends.fake.FakeAnnotator",
        lambda: AnnotatorVersion(backend="fake", model="fake-1"),
    ),
}


class UnknownBackendError(LookupError):
    """No annotator has this name; the message lists those that there are."""


def backend(name: str | None = None) -> Backend:
    """The back end called `name`, or the configured one. Raises UnknownBackendError."""
    name = name or settings.ANNOTATOR
    if name not in BACKENDS:
        known = ", ".join(sorted(BACKENDS))
        raise UnknownBackendError(f"No annotator {name!r}; there are {known}.")
    return BACKENDS[name]


def annotator_version(name: str | None = None) -> AnnotatorVersion:
    """The version of the annotator called `name`, or of the configured one.

    Loads no model. Raises UnknownBackendError.
    """
    return backend(name).version()


def batch_size(name: str | None = None) -> int:
    """How many photos are read at a time: the setting, or the back end's own number."""
    return settings.ANNOTATION_BATCH or backend(name).batch


_loaded: dict[str, Annotator] = {}
_loading = threading.Lock()


def get_annotator(name: str | None = None) -> Annotator:
    """The annotator called `name`, or the configured one; loaded on its first read.

    One per process, however many threads ask at once. Raises UnknownBackendError.
    """
    path, name = backend(name).annotator, name or settings.ANNOTATOR
    with _loading:
        if name not in _loaded:
            _loaded[name] = import_string(path)()
        return _loaded[name]


def close_annotators() -> None:
    """Let go of what this process's annotators hold, such as a GPU's memory."""
    with _loading:
        while _loaded:
            _, annotator = _loaded.popitem()
            close = getattr(annotator, "close", None)
            if close is not None:
                close()
