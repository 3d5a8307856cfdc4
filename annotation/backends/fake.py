"""A deterministic annotator for tests: what it sees depends on the bytes alone.

A system check refuses it in production: it looks at nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from annotation.backends.base import (
    AnnotationError,
    AnnotatorVersion,
    PermanentError,
    Reading,
    gates,
)
from annotation.schema import NOT_VISIBLE, SCHEMA, Attribute, Kind

FEATURES = 512
VISIBLE = 0.9
IMAGE_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF")


class FakeAnnotator:
    """Random readings, seeded by the photo."""

    version = AnnotatorVersion(backend="fake", model="fake-1")

    def read(self, photos: Sequence[bytes]) -> list[Reading | AnnotationError]:
        return [self._read(photo) for photo in photos]

    def _read(self, photo: bytes) -> Reading | AnnotationError:
        if not photo.startswith(IMAGE_SIGNATURES):
            return PermanentError("not-an-image")
        seed = int.from_bytes(hashlib.sha256(photo).digest()[:8], "big")
        rng = np.random.default_rng(seed)
        features = rng.normal(size=FEATURES).astype(np.float32)
        return Reading(
            attributes={a.name: _distribution(a, rng) for a in SCHEMA},
            gates=gates(),
            features=features / np.linalg.norm(features),
            seconds=0.0,
        )


def _distribution(attribute: Attribute, rng: np.random.Generator) -> dict[str, float]:
    if attribute.kind is Kind.ONE:
        values = VISIBLE * rng.dirichlet([0.4] * len(attribute.values))
    else:
        values = VISIBLE * rng.beta(0.3, 1.5, size=len(attribute.values))
    named = dict(zip(attribute.values, map(float, values), strict=True))
    return {NOT_VISIBLE: 1 - VISIBLE} | named
