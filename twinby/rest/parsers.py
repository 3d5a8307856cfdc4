"""Bodies of requests, refused before they are read when they are too large.

DRF reads a JSON body whole and a multipart body to disk, whatever their size: Django's
DATA_UPLOAD_MAX_MEMORY_SIZE counts neither. Behind WSGI a body is never longer than its
Content-Length says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, MultiPartParser

from twinby.errors import DomainError

# Boundaries, headers and the few short fields beside a file.
FORM_OVERHEAD_BYTES = 64 * 1024


class TooLargeError(DomainError):
    """A body of more bytes than this door takes."""

    status = 413
    kind = "body-too-large"


def _check_size(context: Mapping[str, Any] | None, most: int, *, kind: str) -> None:
    meta = context["request"].META if context else {}
    if int(meta.get("CONTENT_LENGTH") or 0) > most:
        raise TooLargeError(f"The body may have at most {most} bytes.", kind=kind)


class JsonParser(JSONParser):
    """JSON of a sane size and depth."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        _check_size(parser_context, most, kind="body-too-large")
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("JSON parse error - nested too deeply.") from None


class PhotoFormParser(MultiPartParser):
    """A form with one photo: not larger than a photo may be."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        most = settings.PHOTO_MAX_BYTES + FORM_OVERHEAD_BYTES
        _check_size(parser_context, most, kind="file-too-large")
        return super().parse(stream, media_type, parser_context)
