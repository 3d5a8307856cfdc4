"""What one upload may cost us, and the error that says it is not taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Caps on one upload. Every one is checked before a pixel is decoded."""

    max_bytes: int = 20_000_000
    max_pixels: int = 52_000_000  # a phone's 8192 x 6144 fits
    max_frames: int = 500
    max_scans: int = 100  # a progressive JPEG has about 10; each walks every block
    min_side_pixels: int = 64
    max_aspect: int = 10  # a panorama fits; of a longer strip nothing would be seen


STATUS_OF_KIND: Final = {
    "empty-file": 400,
    "file-too-large": 413,
    "not-an-image": 415,
    "unsupported-format": 415,
    "truncated-image": 422,
    "damaged-image": 422,
    "polyglot": 422,
    "image-too-large": 422,
    "image-too-small": 422,
    "image-too-narrow": 422,
    "too-many-frames": 422,
    "too-many-scans": 422,
    "busy": 503,
}


class IngestError(Exception):
    """A file that is refused: a stable `kind`, the HTTP `status` it suggests, advice.

    The message is for the sender: numbers of ours, nothing of the file.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = STATUS_OF_KIND[kind]
