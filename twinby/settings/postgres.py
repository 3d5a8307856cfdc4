"""Where the database is: DATABASE_URL as Django takes it, every wait with a bound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from twinby.env import env_int

# A server that vanishes without a word is given up after 20 to 25 seconds: when so long
# nothing that was sent arrives, or three probes of an idle connection do not.
BOUNDS: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
}
# While `migrate` waits for the lock of a table, everybody else waits behind it.
MIGRATION_LOCK_TIMEOUT: Final = "5s"
POOL_SECONDS: Final = 5  # psycopg's own half a minute is too long for a request
SHAPE: Final = (
    "DATABASE_URL must look like postgres://user:password@host:5432/name, with %2F for "
    "a / in the password, and so on for :?#[]@; "
    "./run sets it for you, so try ./run manage instead of manage.py"
)


def database(url: str) -> dict[str, Any]:
    """Django's DATABASES entry for a postgres:// URL, with a small connection pool.

    What follows its `?` are libpq's parameters. They win over the bounds above, and
    `options` over ours. Raises ImproperlyConfigured, without the URL, if it is none.
    """
    parts, port = _read(url)
    given = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.strip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": port or given.get("port", 5432),
        # The pool keeps connections itself and forbids Django's own persistence.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **BOUNDS,
            **given,
            "pool": {
                "min_size": 0,
                "max_size": env_int("TWINBY_DB_POOL", 8, least=1),
                "timeout": POOL_SECONDS,
            },
            "options": " ".join([*_options(), given.get("options", "")]).strip(),
        },
    }


def _read(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its words may hold a part of the password
        raise ImproperlyConfigured(SHAPE) from None
    if parts.scheme not in {"postgres", "postgresql"} or not parts.path.strip("/"):
        raise ImproperlyConfigured(SHAPE)
    return parts, port


def _options() -> list[str]:
    """What every session starts with, by the command that opens it.

    Requests give up soon; commands and workers go through whole bases.
    """
    is_job = Path(sys.argv[0]).name in {"manage.py", "dramatiq"}
    request = env_int("TWINBY_DB_TIMEOUT_MS", 30_000, least=0)
    job = env_int("TWINBY_JOB_DB_TIMEOUT_MS", 600_000, least=0)
    options = [f"-c statement_timeout={job if is_job else request}"]
    if is_job and sys.argv[1:2] == ["migrate"]:
        options.append(f"-c lock_timeout={MIGRATION_LOCK_TIMEOUT}")
    return options
