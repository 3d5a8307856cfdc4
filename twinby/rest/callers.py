"""Who calls: a client's backend or one of its people, by signed token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, cast

from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTStatelessUserAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import AccessToken, Token

from twinby.errors import ForbiddenError, InvalidError


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
    """Bearer tokens made by `issue_token`, by their signature alone."""

    def get_user(self, validated_token: Token) -> Any:  # a Caller, which is no User
        try:
            person = validated_token.get("person")
            return Caller(
                client_id=uuid.UUID(validated_token["client"]),
                person_id=uuid.UUID(person) if person else None,
            )
        except (KeyError, ValueError):
            raise InvalidToken("This is not a token of this API.") from None


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
