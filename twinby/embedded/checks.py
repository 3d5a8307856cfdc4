"""What must hold before the tests are worth running: each check stops at a fault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from twinby.embedded.narration import Problem, say, wait_with_bar

# What `check --deploy` looks at needs no real host, and accepts the weights that come
# along: their warning is for whoever deploys.
PRODUCTION = {
    "DJANGO_SETTINGS_MODULE": "twinby.settings.production",
    "TWINBY_HOSTS": "twinby.example",
    "TWINBY_URL": "https://twinby.example",
    "TWINBY_ACCEPT_RESEARCH_WEIGHTS": "true",
}


@dataclass(frozen=True)
class Check:
    """A Python module or script with arguments that fails when something is wrong."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


CHECKS = [
    Check("ruff check", ["-m", "ruff", "check", "."]),
    Check("ruff format", ["-m", "ruff", "format", "--check", "."]),
    Check("mypy", ["-m", "mypy", ".", "run"]),
    Check("import law", [".venv/bin/lint-imports"]),
    Check("migrations", ["manage.py", "makemigrations", "--check", "--dry-run"]),
    Check(
        "production settings",
        ["manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        PRODUCTION,
    ),
]


def run_checks(
    root: Path, python: str, environment: Mapping[str, str], *, log: Path
) -> None:
    """Runs all checks in order; Problem with the name of the first that fails."""
    for check in CHECKS:
        say(check.name)
        with log.open("wb") as stream:
            child = subprocess.Popen(  # noqa: S603 - our own tools
                [python, *check.arguments],
                cwd=root,
                env={**environment, **check.environment},
                stdout=stream,
                stderr=stream,
            )
        if wait_with_bar(child, check.name):
            sys.stderr.write(log.read_text(errors="replace"))
            raise Problem(f"The check {check.name!r} fails: its words are above.")
