"""Trained heads: kept as rows with a weights file, checked, compared, made active."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.core.files.base import ContentFile
from django.utils import timezone

from matching.features import VISUAL_WIDTH
from matching.models import Head
from matching.projection import (
    IDENTITY,
    UNTRAINED,
    HeadWeights,
    Projection,
    untrained,
)
from twinby.errors import UnavailableError

logger = logging.getLogger(__name__)

Figures = Mapping[str, float]


class WeightsError(Exception):
    """A head's weights cannot be used; the message says what to do about it."""


def keep(
    weights: HeadWeights, *, annotator: str, triplets: str, metrics: Mapping[str, Any]
) -> Head:
    """Keep a head that was trained; the same weights give the same row again.

    Its file is written anew where it is missing or damaged, and so are its metrics.
    """
    version, data = weights.version(annotator), weights.to_npz()
    head = Head.objects.filter(version=version).first() or Head(version=version)
    head.annotator, head.width = annotator, weights.width
    head.triplets, head.metrics = triplets, dict(metrics)
    head.sha256 = hashlib.sha256(data).hexdigest()
    if not _is_whole(head):
        head.weights.delete(save=False)  # not every storage writes over a file
        head.weights.save(f"{version}.npz", ContentFile(data), save=False)
    head.save()
    return head


def _is_whole(head: Head) -> bool:
    try:
        load(head)
    except WeightsError:
        return False
    return True


def load(head: Head) -> HeadWeights:
    """The weights as they were kept, read from storage now. Raises WeightsError."""
    if not head.weights:
        raise _unusable(head, "have not been written")
    try:
        with head.weights.open("rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise _unusable(head, "are missing") from None
    except Exception as error:  # noqa: BLE001 - every storage has errors of its own
        raise _unusable(head, f"cannot be read ({type(error).__name__})") from None
    if hashlib.sha256(data).hexdigest() != head.sha256:
        raise _unusable(head, "are damaged")
    try:
        return HeadWeights.from_npz(data)
    except ValueError as error:
        raise _unusable(head, f"are of another release ({error})") from None


def _unusable(head: Head, reason: str) -> WeightsError:
    return WeightsError(
        f"The weights of head {head.version} {reason}: {head.weights.name or 'no file'}"
        " in the storage of photos. Put the file back from a backup, or run the same "
        "trainhead again, which writes it anew; until then activate another head."
    )


@lru_cache(maxsize=8)  # for ever: a version is made of its content
def projection(version: str) -> Projection:
    """The projection of this name, trained or not. UnavailableError if it is gone."""
    if version == IDENTITY:
        return untrained(width=VISUAL_WIDTH)
    if version.startswith(UNTRAINED):
        return untrained(width=int(version.removeprefix(UNTRAINED)))
    try:
        head = Head.objects.filter(version=version).first()
        weights = load(head or Head(version=version))
    except WeightsError as error:
        logger.error("%s", error)
        raise UnavailableError("The search cannot be used now; try again.") from None
    return Projection(version, weights.width, weights)


def is_loadable(version: str) -> bool:
    """Whether this process can use the projection of this name; a log says why not."""
    try:
        projection(version)
    except UnavailableError:
        return False
    return True


def current(annotator: str, *, width: int) -> str:
    """The version of what projects this annotator's features at present."""
    active = Head.objects.filter(
        annotator=annotator, width=width, status=Head.Status.ACTIVE
    )
    head = active.values_list("version", flat=True).first()
    return head or untrained_version(width)


def untrained_version(width: int) -> str:
    """The name of what `untrained` gives, without making it."""
    return IDENTITY if width == VISUAL_WIDTH else f"{UNTRAINED}{width}"


def activate(annotator: str, version: str) -> None:
    """From now on this projection is the annotator's, within a transaction."""
    own = Head.objects.filter(annotator=annotator)
    others = own.exclude(version=version)
    others.filter(status=Head.Status.ACTIVE).update(status=Head.Status.RETIRED)
    own.filter(version=version).update(
        status=Head.Status.ACTIVE, activated_at=timezone.now()
    )


# Is a new head better? ----------------------------------------------------------------


def shortcomings(head: Head, rival: str) -> str:
    """Why a head that was never active should not follow `rival`; "" if it may.

    Both must have been measured on the same people, whom neither has seen.
    """
    if head.status != Head.Status.TRAINED:
        return ""  # the way back is always open
    before = _measured_beside(head, rival)
    if before is None:
        return (
            f"it was not measured beside {rival}, which is active: run the same "
            "trainhead again"
        )
    figures: Figures = head.metrics["headlines"]
    worse = [
        f"{name} {figures[name]:.4f} instead of {before[name]:.4f}"
        for name in figures
        if figures[name] < before[name]
    ]
    return f"it is worse than {rival}: {', '.join(worse)}" if worse else ""


def _measured_beside(head: Head, rival: str) -> Figures | None:
    """The rival's figures on the people that the head was measured on."""
    figures: Figures | None = head.metrics["beside"].get(rival)
    return figures
