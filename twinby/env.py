"""Typed readers of environment variables: loud on nonsense, silent on absence."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TypeVar

Number = TypeVar("Number", int, float)


class EnvError(Exception):
    """An environment variable has a value that cannot be used."""


def env_text(name: str, default: str = "") -> str:
    """The variable's text, or `default` where it is absent or empty."""
    return os.environ.get(name) or default


def env_bool(name: str, *, default: bool) -> bool:
    """True for 1/true/yes/on, False for 0/false/no/off, EnvError for anything else."""
    text = env_text(name).lower()
    if not text:
        return default
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    raise EnvError(f"{name} must be true or false")


def env_int(name: str, default: int, *, least: int | None = None) -> int:
    """The variable as a whole number; EnvError if it is none, or under the least."""
    text = env_text(name)
    try:
        value = int(text) if text else default
    except ValueError:
        raise EnvError(f"{name} must be a whole number") from None
    return _at_least(name, value, least)


def env_float(name: str, default: float, *, least: float | None = None) -> float:
    """The variable as a finite number; EnvError if it is none, or under the least."""
    text = env_text(name)
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EnvError(f"{name} must be a number")
    return _at_least(name, value, least)


def _at_least(name: str, value: Number, least: Number | None) -> Number:
    if least is not None and value < least:
        raise EnvError(f"{name} must be {least} or more")
    return value


def env_list(name: str, default: str = "") -> list[str]:
    """The variable's comma-separated parts, trimmed, empty ones dropped."""
    return [part.strip() for part in env_text(name, default).split(",") if part.strip()]


def env_secret(name: str) -> str:
    """A secret from NAME, or from the file that NAME_FILE names; "" without either.

    Raises EnvError, without the value, if the file cannot be read.
    """
    file = env_text(f"{name}_FILE")
    if not file:
        return env_text(name)
    try:
        return Path(file).read_text().strip()
    except OSError:
        raise EnvError(f"{name}_FILE names a file that cannot be read") from None
