"""Settings for processes of their own: the fake annotator, slowly, with a diary."""

from __future__ import annotations

from dataclasses import replace

from annotation.backends import BACKENDS
from twinby.settings.base import *  # noqa: F403

ANNOTATOR = "fake"
BACKENDS["fake"] = replace(
    BACKENDS["fake"],
    annotator="tests.annotation.slow.SlowAnnotator",
    queue="gpu",
    batch=4,
)
