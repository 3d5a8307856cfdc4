"""System checks: what must not be true of a running twinby."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from annotation.backends import BACKENDS
from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import configuration as local
from annotation.backends.remote import configuration as remote
from annotation.backends.weights import metadata
from twinby.env import EnvError

MODEL_LIBRARIES = ("torch", "transformers")


@register(Tags.compatibility)
def annotator_is_known(**_: Any) -> list[CheckMessage]:
    if settings.ANNOTATOR in BACKENDS:
        return []
    return [
        Error(
            f"TWINBY_ANNOTATOR is {settings.ANNOTATOR!r}, which is no annotator.",
            hint=f"Choose one of: {', '.join(sorted(BACKENDS))}.",
            id="annotation.E001",
        )
    ]


@register(Tags.security)
def fake_annotator_stays_in_tests(**_: Any) -> list[CheckMessage]:
    if not settings.PRODUCTION or settings.ANNOTATOR != "fake":
        return []
    return [
        Error(
            "The fake annotator looks at no photo; production must not use it.",
            hint="Set TWINBY_ANNOTATOR=small or to a Vision-Language Model.",
            id="annotation.E002",
        )
    ]


@register(Tags.security)
def research_weights_are_a_choice(**_: Any) -> list[CheckMessage]:
    active = settings.PRODUCTION and settings.ANNOTATOR == "small"
    if not active or settings.ACCEPT_RESEARCH_WEIGHTS:
        return []
    if not metadata().get("research_data"):
        return []
    return [
        Warning(
            "The embedded annotator's weights were trained on data for research only.",
            hint="Retrain on your own data, use another annotator, or set "
            "TWINBY_ACCEPT_RESEARCH_WEIGHTS=true if your use is covered.",
            id="annotation.W001",
        )
    ]


@register(Tags.compatibility)
def local_model_is_well_described(**_: Any) -> list[CheckMessage]:
    try:
        local.configured()
    except EnvError as error:
        return [Error(f"{error}.", id="annotation.E003")]
    return []


# Of web processes and of other queues' workers nobody expects these libraries.
@register(Tags.compatibility, deploy=True)
def local_model_can_run_somewhere(**_: Any) -> list[CheckMessage]:
    if settings.ANNOTATOR != "local":
        return []
    missing = [name for name in MODEL_LIBRARIES if find_spec(name) is None]
    if not missing:
        return []
    return [
        Warning(
            f"The annotator `local` cannot run here without {' and '.join(missing)}.",
            hint="Install requirements/vlm.txt on the machines whose workers serve the "
            "gpu queue; others need nothing.",
            id="annotation.W002",
        )
    ]


@register(Tags.compatibility)
def remote_servers_are_well_described(**_: Any) -> list[CheckMessage]:
    """Web processes need no servers and no keys; they do need the model's name."""
    if settings.ANNOTATOR != "remote" and not remote.names():
        return []
    try:
        remote.configured() if remote.names() else remote.version()
    except BackendUnavailableError as error:
        return [Error(str(error), id="annotation.E004")]
    return []


@register(Tags.compatibility, deploy=True)
def remote_servers_are_named_somewhere(**_: Any) -> list[CheckMessage]:
    if settings.ANNOTATOR != "remote" or remote.names():
        return []
    return [
        Warning(
            "The annotator `remote` has no servers to ask here.",
            hint="Set TWINBY_REMOTE_PROVIDERS where workers run; others need nothing.",
            id="annotation.W003",
        )
    ]
