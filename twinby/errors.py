"""Errors that a client can understand, and nothing else. Imports nothing of ours."""

from __future__ import annotations

from typing import Any, ClassVar


class DomainError(Exception):
    """A request that cannot be met. `kind` is stable and becomes the problem's type.

    The message is for the client to read; it never carries a name, a token or a photo.
    """

    status: int = 400
    kind: ClassVar[str] = "invalid-request"

    def __init__(self, message: str, *, kind: str | None = None, **extra: Any) -> None:
        super().__init__(message)
        self.message = message
        self.problem_kind = kind or self.kind
        self.extra = extra


class InvalidError(DomainError):
    """The request is understood and wrong: 422 would do, clients expect 400."""

    kind = "invalid-request"


class ForbiddenError(DomainError):
    """Known caller, not allowed."""

    status = 403
    kind = "forbidden"


class NotFoundError(DomainError):
    """No such thing, or none that the caller may know of."""

    status = 404
    kind = "not-found"


class ConflictError(DomainError):
    """The state of things forbids it now; trying later or reloading may help."""

    status = 409
    kind = "conflict"


class UnavailableError(DomainError):
    """A part of ours that is needed is not there at the moment."""

    status = 503
    kind = "unavailable"
