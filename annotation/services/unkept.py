"""Photos that are read and not kept: as uploads are, without a row or a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from annotation.backends import (
    UnknownBackendError,
    annotator_version,
    batch_size,
    get_annotator,
    weights,
)
from annotation.backends.base import (
    AnnotationError,
    Annotator,
    BackendUnavailableError,
    Reading,
    TransientError,
)
from annotation.calibration.calibrator import AS_KEPT, RawReading
from annotation.evaluation.seen import Seen
from annotation.schema import unseen_attributes
from annotation.services.readers import raw
from profiles.ingest import IngestError, ingest
from twinby.errors import NotFoundError, UnavailableError

_UNSEEN = RawReading(unseen_attributes())
# Of the weights' metadata: how they work and what they were worth elsewhere.
_NO_FACTS = {"calibration", "metrics"}


def read_unkept(
    backend: str | None,
    photos: Sequence[bytes],
    *,
    step: Callable[[int], None] = lambda count: None,
) -> Seen:
    """Read encoded photos by this back end; `step` is told how many more are done.

    Raises NotFoundError for a back end unheard of, UnavailableError if it cannot read
    here, or not now.
    """
    annotator, size = _annotator(backend), batch_size(backend)
    outcomes: list[Reading | str] = []
    for start in range(0, len(photos), size):
        batch = photos[start : start + size]
        outcomes += _read(annotator, batch)
        step(len(batch))
    return _seen(outcomes)


def training_facts(backend: str | None) -> dict[str, Any] | None:
    """What is known of how this back end's weights were made; None of others' models.

    `cross_fitted`: how true its probabilities are on photos that it was calibrated to.
    """
    if annotator_version(backend) != weights.version():
        return None
    known = weights.metadata()
    return {name: fact for name, fact in known.items() if name not in _NO_FACTS}


def _annotator(backend: str | None) -> Annotator:
    try:
        return get_annotator(backend)
    except UnknownBackendError as error:
        raise NotFoundError(str(error)) from None


def _read(annotator: Annotator, photos: Sequence[bytes]) -> list[Reading | str]:
    """A reading of each photo, or the reason why there is none."""
    found: dict[int, Reading | str] = {}
    images: dict[int, bytes] = {}
    for place, photo in enumerate(photos):
        try:
            images[place] = ingest(photo).annotation
        except IngestError as error:
            found[place] = error.kind
    outcomes = _asked(annotator, list(images.values())) if images else []
    for place, outcome in zip(images, outcomes, strict=True):
        found[place] = outcome if isinstance(outcome, Reading) else outcome.reason
    return [found[place] for place in range(len(photos))]


def _asked(
    annotator: Annotator, images: Sequence[bytes]
) -> list[Reading | AnnotationError]:
    try:
        return annotator.read(images)
    except TransientError as error:
        message = f"The annotator could not read just now ({error.reason}); try again."
        raise UnavailableError(message) from None
    except BackendUnavailableError as error:
        raise UnavailableError(str(error)) from None


def _seen(outcomes: Sequence[Reading | str]) -> Seen:
    kept = [_UNSEEN if isinstance(one, str) else raw(one) for one in outcomes]
    features = [None if isinstance(one, str) else one.features for one in outcomes]
    width = next((len(one) for one in features if one is not None), None)
    return Seen(
        attributes=list(AS_KEPT.read(kept)),
        features=None
        if width is None
        else np.stack([np.zeros(width) if f is None else f for f in features]).astype(
            np.float32
        ),
        failed=dict(Counter(one for one in outcomes if isinstance(one, str))),
    )
