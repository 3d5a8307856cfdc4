#!/usr/bin/env python
"""Django's door. ./run manage opens it with everything that Django needs."""

from __future__ import annotations

import os
import sys

from twinby.embedded.services import given
from twinby.embedded.standalone import is_standalone, stand_ins


def main() -> None:
    """Runs one of Django's commands."""
    if is_standalone(sys.argv[1:]):
        os.environ.update(stand_ins())
    elif not given("DATABASE_URL"):
        sys.exit("Use ./run manage, which starts a database; or set DATABASE_URL.")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "twinby.settings.base")
    from django.core.management import execute_from_command_line

    from twinby.env import EnvError

    try:
        execute_from_command_line(sys.argv)
    except EnvError as error:  # the settings are loaded by whichever command it is
        sys.exit(f"twinby: {error}")


if __name__ == "__main__":
    main()
