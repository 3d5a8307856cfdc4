"""Bodies of requests, refused before they are read when they are too large.

DRF reads a JSON body whole and a multipart body to disk, whatever their size: Django's
DATA_UPLOAD_MAX_MEMORY_SIZE counts neither. Behind WSGI a body is never longer than its
Content-Length says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser, MultiPartParser

from twinby.errors import DomainError

# Boundaries, headers and the few short fields beside a file.
FORM_OVERHEAD_BYTES = 64 * 1024


class TooLargeError(DomainError):
    """A body of more bytes than this door takes."""

    status = 413
    kind = "body-too-large"


class _BoundedParser(BaseParser):
    """Refuses a body that is too large, unread, and one that is nested too deeply."""

    too_large: ClassVar[str]  # the problem's kind

    def most_bytes(self) -> int:
        raise NotImplementedError

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        meta = parser_context["request"].META if parser_context else {}
        most = self.most_bytes()
        if int(meta.get("CONTENT_LENGTH") or 0) > most:
            message = f"The body may have at most {most} bytes."
            raise TooLargeError(message, kind=self.too_large)
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None


class JsonParser(_BoundedParser, JSONParser):
    """JSON of a sane size and depth."""

    too_large = "body-too-large"

    def most_bytes(self) -> int:
        return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


class PhotoFormParser(_BoundedParser, MultiPartParser):
    """A form with one photo: not larger than a photo may be."""

    too_large = "file-too-large"

    def most_bytes(self) -> int:
        return int(settings.PHOTO_MAX_BYTES) + FORM_OVERHEAD_BYTES
