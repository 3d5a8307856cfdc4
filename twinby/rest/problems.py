"""What goes wrong, in one shape: RFC 9457 problem+json with a stable `type`."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse, UnreadablePostError
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from twinby.errors import DomainError

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
DATABASE_DOWN = (503, "unavailable", "The database does not answer; try again.")


def problem(status: int, kind: str, detail: str, **extra: Any) -> dict[str, Any]:
    """An RFC 9457 problem; its `type` is stable, its `detail` is for people."""
    return {
        "type": f"urn:twinby:problem:{kind}",
        "title": kind.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        **extra,
    }


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every error we expect, in one shape."""
    set_rollback()
    body = _problem_of(error)
    if body is None:
        return None
    if isinstance(error, OperationalError | InterfaceError):
        _log_database_trouble(error, view=context["view"])
    response = Response(body, status=body["status"], content_type=PROBLEM_TYPE)
    wait = getattr(error, "wait", None)  # DRF's Throttled, in seconds
    if wait:
        response["Retry-After"] = str(int(wait) + 1)
    if body["status"] == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def _log_database_trouble(error: Exception, *, view: object) -> None:
    """What psycopg calls it, and where; its message may tell of people."""
    cause = error.__cause__ or error  # Django wraps psycopg's errors
    logger.error(
        "The database does not answer: %s, SQLSTATE %s, in %s",
        type(cause).__name__,
        getattr(cause, "sqlstate", None),
        type(view).__name__,
    )


def _problem_of(error: Exception) -> dict[str, Any] | None:
    if isinstance(error, DomainError):
        return problem(error.status, error.problem_kind, error.message, **error.extra)
    if isinstance(error, exceptions.ValidationError):
        return problem(
            400,
            "invalid-request",
            "The request has fields that cannot be accepted; see errors.",
            errors=_field_errors(error.detail),
        )
    if isinstance(error, exceptions.APIException):
        return _problem_of_api(error)
    for cls, known in _KNOWN:
        if isinstance(error, cls):
            return problem(*known)
    return None


# The first that fits counts. What is in none of the tables is a surprise: a 500.
_KNOWN: list[tuple[type[Exception], tuple[int, str, str]]] = [
    (Http404, (404, "not-found", "There is nothing here.")),
    (PermissionDenied, (403, "forbidden", "This is not allowed.")),
    (RequestDataTooBig, (413, "body-too-large", "The body has too many bytes.")),
    (SuspiciousOperation, (400, "malformed-request", "The request cannot be read.")),
    (UnreadablePostError, (400, "malformed-request", "The body broke off.")),
    (OperationalError, DATABASE_DOWN),
    (InterfaceError, DATABASE_DOWN),
]
_API_KINDS: dict[type[exceptions.APIException], str] = {
    exceptions.NotAuthenticated: "not-authenticated",
    exceptions.AuthenticationFailed: "not-authenticated",
    exceptions.ParseError: "malformed-request",
    exceptions.MethodNotAllowed: "method-not-allowed",
    exceptions.NotAcceptable: "not-acceptable",
    exceptions.UnsupportedMediaType: "unsupported-media-type",
    exceptions.Throttled: "too-many-requests",
    exceptions.PermissionDenied: "forbidden",
    exceptions.NotFound: "not-found",
}


def _problem_of_api(error: exceptions.APIException) -> dict[str, Any]:
    kinds = [kind for cls, kind in _API_KINDS.items() if isinstance(error, cls)]
    detail = error.detail.get("detail") if isinstance(error.detail, dict) else None
    return problem(
        error.status_code,
        kinds[0] if kinds else "invalid-request",
        str(detail or error.detail),
    )


def _field_errors(detail: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's nested errors as a flat list of {"field": "filters.age_min", "message"}."""
    if isinstance(detail, dict):
        return [
            found
            for name, inner in detail.items()
            for found in _field_errors(inner, f"{path}.{name}" if path else str(name))
        ]
    if isinstance(detail, list):
        return [found for inner in detail for found in _field_errors(inner, path)]
    return [{"field": _sayable(path), "message": _sayable(str(detail))}]


def _sayable(text: str) -> str:
    """Errors repeat what was sent, and JSON may send half a pair: "\\ud800" alone."""
    return text.encode(errors="replace").decode()


# What Django itself answers with, outside of every API view ---------------------------


def _page(status: int, kind: str, detail: str) -> JsonResponse:
    body = problem(status, kind, detail)
    return JsonResponse(body, status=status, content_type=PROBLEM_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    """The 400 of a wrong host name, or of a request that looks like an attack."""
    return _page(400, "malformed-request", "The request cannot be read.")


def forbidden(request: HttpRequest, exception: Exception) -> JsonResponse:
    """The 403 of pages."""
    return _page(403, "forbidden", "This is not allowed.")


def page_not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """The 404 of paths that no URL pattern knows."""
    return _page(404, "not-found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> JsonResponse:
    """A surprise: the log has the trace, the client gets no detail."""
    return _page(500, "internal-error", "Something broke here; it has been logged.")
