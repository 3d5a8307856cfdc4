"""Signing in to the admin: whoever guesses passwords is stopped after a few tries."""

from __future__ import annotations

import hashlib
import logging
from typing import Any, Final

from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from limits import parse
from redis.exceptions import RedisError
from rest_framework.throttling import BaseThrottle

from twinby.rest.throttle import limiter

logger = logging.getLogger(__name__)

OF_A_NAME: Final = parse("10 per 15 minutes")  # from one address
OF_AN_ADDRESS: Final = parse("100 per 15 minutes")
REFUSED: Final = "Too many tries. Wait a quarter of an hour, then sign in again."


class GuardedLogin(AdminAuthenticationForm):
    """The admin's form, which looks at so many passwords only.

    Tries are counted before the password is looked at, so that many at once are no way
    around it; who signs in has their name's tries back. Nobody is locked out from
    elsewhere by somebody's guesses at their name. Without Redis everybody may try, and
    the log says so: moderators are needed most when something is down.
    """

    def clean(self) -> dict[str, Any]:
        name = str(self.cleaned_data.get("username", ""))
        address = BaseThrottle().get_ident(self.request)  # type: ignore[arg-type]
        if not _may_try(name, address):
            logger.warning("A sign-in was refused: too many tries")
            raise ValidationError(REFUSED, code="too-many-tries")
        cleaned: dict[str, Any] = super().clean()
        _forget(name, address)
        return cleaned


def _may_try(name: str, address: str) -> bool:
    try:
        return limiter().hit(OF_AN_ADDRESS, "sign-in", address) and limiter().hit(
            OF_A_NAME, "sign-in", address, _opaque(name)
        )
    except RedisError:
        logger.warning("Sign-ins are not counted: Redis does not answer")
        return True


def _forget(name: str, address: str) -> None:
    try:
        limiter().clear(OF_A_NAME, "sign-in", address, _opaque(name))
    except RedisError:
        logger.warning("Sign-ins are not counted: Redis does not answer")


def _opaque(name: str) -> str:
    """What stands for a name in Redis, which others may read."""
    return hashlib.sha256(name.casefold().encode()).hexdigest()
