"""Production: the base, hardened. Missing secrets stop the process at once."""

from __future__ import annotations

from django.core.exceptions import ImproperlyConfigured

from twinby.env import env_bool, env_int
from twinby.settings.base import *  # noqa: F403
from twinby.settings.base import SECRET_KEY, SIMPLE_JWT

SHORTEST_SECRET = 50

for _name, _secret in (
    ("TWINBY_SECRET_KEY", SECRET_KEY),
    ("TWINBY_JWT_KEY", str(SIMPLE_JWT["SIGNING_KEY"])),  # the above if it is not given
):
    if len(_secret) < SHORTEST_SECRET:
        raise ImproperlyConfigured(
            f"{_name} must have at least {SHORTEST_SECRET} random characters"
        )

PRODUCTION = True
SECURE_SSL_REDIRECT = env_bool("TWINBY_SSL_REDIRECT", default=True)
# Without a proxy in front, anybody may send this header.
if env_int("TWINBY_PROXIES", 0) > 0:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_HSTS_SECONDS = env_int("TWINBY_HSTS_SECONDS", 365 * 24 * 3600)
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
