"""What can be known of an upload from its bytes alone, before any decoder sees them."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from typing import Final

from profiles.ingest.refusal import IngestError, Limits

_ACCEPTED: Final = "Send a JPEG, PNG, WebP, AVIF or HEIC photo."
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
)
_OTHER_FORMATS: Final = re.compile(
    rb"GIF8|BM|II\*\0|MM\0\*|\xff\x0a|8BPS|\0\0\x01\0|%PDF|RIFF|.{4}ftyp|.{4}JXL |"
    rb"(\xef\xbb\xbf)?\s*<(\?xml|!doctype|svg)",
    re.IGNORECASE | re.DOTALL,
)
_SECOND_FILES: Final = re.compile(
    rb"%PDF-|PK\x03\x04|PK\x05\x06|GIF8[79]a|\x7fELF|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|"
    rb"<html|<script|<\?php|<!doctype|<svg\s|#!/(bin|usr)/",
    re.IGNORECASE,
)
# Readers of PDF look for its header in the first 1024 bytes of any file.
_HEAD_BYTES: Final = 1024


def check_size(data: bytes, limits: Limits) -> None:
    """Refuse nothing at all, and more than the cap."""
    if not data:
        raise IngestError("empty-file", "The file is empty. Choose the photo again.")
    if len(data) > limits.max_bytes:
        most = limits.max_bytes / 1_000_000
        raise IngestError(
            "file-too-large", f"The file is too large. Send at most {most:g} MB."
        )


def kind_of(data: bytes) -> str:
    """jpeg, png, webp, avif or heic by the first bytes; names and types can lie."""
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    brands = _brands(data)
    if brands & _AVIF_BRANDS:
        return "avif"
    if brands & _HEIC_BRANDS:
        return "heic"
    if _OTHER_FORMATS.match(data):
        raise IngestError(
            "unsupported-format", f"This kind of file is not accepted. {_ACCEPTED}"
        )
    raise IngestError("not-an-image", f"This file is not a photo. {_ACCEPTED}")


def _brands(data: bytes) -> set[bytes]:
    """The major and compatible brands of an ISO base media file (ISO 14496-12, 4.3)."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4], "big"), len(data))
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def check_one_whole_file(data: bytes, kind: str, limits: Limits) -> None:
    """Refuse an image cut short, or one that is a second kind of file as well.

    What phones append is let by: another JPEG (MPF), a video, a maker's own trailer.
    """
    end = _end(data, kind, limits)
    if end > len(data):
        raise IngestError(
            "truncated-image", "The file ends too early. Upload the photo again."
        )
    if (
        _SECOND_FILES.search(data, 0, _HEAD_BYTES)
        or _SECOND_FILES.search(data, end)
        or zipfile.is_zipfile(BytesIO(data))
    ):
        raise IngestError(
            "polyglot", "The file holds more than a photo. Export the photo anew."
        )


def _end(data: bytes, kind: str, limits: Limits) -> int:
    """Offset just behind the image; past the end of a file that is cut short."""
    if kind == "jpeg":
        return _jpeg_end(data, limits)
    if kind == "png":
        return _png_end(data)
    if kind == "webp":
        return 8 + int.from_bytes(data[4:8], "little")
    return _boxes_end(data)


_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA


def _jpeg_end(data: bytes, limits: Limits) -> int:
    """Behind the end-of-image marker (ITU T.81, B.1.1)."""
    at, scans = 2, 0
    while marker := _JPEG_MARKER.search(data, at):
        at = marker.end()
        code = data[at - 1]
        if code == _JPEG_END:
            return at
        scans += code == _JPEG_SCAN
        if scans > limits.max_scans:
            raise IngestError(
                "too-many-scans", "The JPEG is too intricate. Export the photo anew."
            )
        at += int.from_bytes(data[at : at + 2], "big")
    return len(data) + 1


def _png_end(data: bytes) -> int:
    """Behind the IEND chunk (PNG specification, 5.3)."""
    at = 8
    while at < len(data):
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at
    return len(data) + 1


_BOXES: Final = frozenset(
    b"ftyp meta mdat idat moov moof mfra free skip wide uuid mpvd sidx jumb".split()
)


def _boxes_end(data: bytes) -> int:
    """Behind the last known top-level box (ISO 14496-12, 4.2)."""
    at = 0
    while data[at + 4 : at + 8] in _BOXES:
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0:
            return len(data)
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16], "big")
        at += max(size, 8)
    return at
