"""What every REST door shares: callers, throttle, strict input, one shape of error."""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView, set_rollback
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import AccessToken, Token

from twinby.errors import DomainError, ForbiddenError, InvalidError

logger = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
REDIS_TIMEOUT_SECONDS = 0.5


# Who calls ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Caller:
    """Whoever a token speaks for: a client's backend, or one of its people."""

    client_id: uuid.UUID
    person_id: uuid.UUID | None = None
    is_authenticated: bool = True

    @property
    def subject(self) -> str:
        if self.person_id:
            return f"person:{self.person_id}"
        return f"client:{self.client_id}"


def issue_token(caller: Caller) -> str:
    """A short-lived signed token for a caller; its subject is an opaque id."""
    token = AccessToken()
    token["sub"] = caller.subject
    token["client"] = str(caller.client_id)
    if caller.person_id:
        token["person"] = str(caller.person_id)
    return str(token)


class CallerAuthentication(JWTStatelessUserAuthentication):
    """Bearer tokens made by `issue_token`; no look-up in the database."""

    def get_user(self, validated_token: Token) -> Any:
        try:
            person = validated_token.get("person")
            return Caller(
                client_id=uuid.UUID(validated_token["client"]),
                person_id=uuid.UUID(person) if person else None,
            )
        except (KeyError, ValueError):
            raise InvalidToken("This is not a token of this API.") from None


class CallerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the OpenAPI schema names our tokens."""

    target_class = "twinby.rest.CallerAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def caller(request: Request) -> Caller:
    """The authenticated caller of a request."""
    return cast("Caller", request.user)


def own_or_given(who: Caller, given: uuid.UUID | None) -> uuid.UUID:
    """Whose business this is: a person's own token's, or the person a service names.

    Raises InvalidError where a service names nobody, ForbiddenError where a person
    names anybody.
    """
    if who.person_id:
        if given is not None:
            raise ForbiddenError("person_id is for service tokens only.")
        return who.person_id
    if given is None:
        raise InvalidError("A service token must say for whom: person_id is missing.")
    return given


# How often ----------------------------------------------------------------------------


@cache
def _limiter() -> MovingWindowRateLimiter:
    options = {
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
    }
    return MovingWindowRateLimiter(storage_from_string(settings.REDIS_URL, **options))


class SubjectThrottle(BaseThrottle):
    """So many requests a minute for each subject, counted atomically in Redis.

    DRF's own throttle reads, then writes: under concurrency it lets half as many again
    through. Without Redis this one lets everybody pass and says so: search matters
    more than its limit.
    """

    def __init__(self) -> None:
        self._wait: float | None = None

    def allow_request(self, request: Request, view: APIView) -> bool:
        limit = parse(f"{settings.REQUESTS_PER_MINUTE}/minute")
        key = self._key(request)
        try:
            limiter = _limiter()
            if limiter.hit(limit, "api", key):
                return True
            reset, _ = limiter.get_window_stats(limit, "api", key)
        except RedisError:
            logger.warning("Throttling is off: Redis does not answer")
            return True
        self._wait = max(1.0, reset - time.time())
        return False

    def wait(self) -> float | None:
        return self._wait

    def _key(self, request: Request) -> str:
        if isinstance(request.user, Caller):
            return request.user.subject
        return f"ip:{self.get_ident(request)}"


# What may be said ---------------------------------------------------------------------


class StrictSerializer(serializers.Serializer[Any]):
    """Input that refuses fields it does not know: a typo is an error, not a no-op."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict):
            unknown = sorted(set(data) - set(self.fields))
            if unknown:
                raise serializers.ValidationError(
                    {str(name): ["Unknown field."] for name in unknown}
                )
        return super().to_internal_value(data)


def validated(serializer: type[serializers.Serializer[Any]], data: Any) -> Any:
    """The input's validated data; raises DRF's ValidationError."""
    instance = serializer(data=data)
    instance.is_valid(raise_exception=True)
    return instance.validated_data


# What goes wrong ----------------------------------------------------------------------


def problem(
    status: int, kind: str, detail: str, **extra: Any
) -> dict[str, Any]:
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
    response = Response(
        body, status=body["status"], content_type=PROBLEM_TYPE
    )
    if isinstance(error, exceptions.Throttled) and error.wait:
        response["Retry-After"] = str(int(error.wait) + 1)
    if body["status"] == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


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
    if isinstance(error, Http404):
        return problem(404, "not-found", "There is nothing here.")
    if isinstance(error, PermissionDenied):
        return problem(403, "forbidden", "This is not allowed.")
    if isinstance(error, exceptions.APIException):
        return _problem_of_api(error)
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database does not answer: %s", type(error).__name__)
        return problem(503, "unavailable", "The database does not answer; try again.")
    return None


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
            for found in _field_errors(
                inner, f"{path}.{name}" if path else str(name)
            )
        ]
    if isinstance(detail, list):
        return [found for inner in detail for found in _field_errors(inner, path)]
    return [{"field": path, "message": str(detail)}]


def page_not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    """The 404 of paths that no URL pattern knows."""
    body = problem(404, "not-found", "There is nothing at this address.")
    return JsonResponse(body, status=404, content_type=PROBLEM_TYPE)


def server_error(request: HttpRequest) -> JsonResponse:
    """A surprise: the log has the trace, the client gets no detail."""
    body = problem(500, "internal-error", "Something broke here; it has been logged.")
    return JsonResponse(body, status=500, content_type=PROBLEM_TYPE)
