"""Cores that do not sleep while somebody measures, as on a server never quite at rest.

A sleeping core of a virtual machine takes long to wake, and a request waits for one
with every statement: on a machine with nothing else to do it takes a third longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# It gives way to everything else, and ends with whoever started it.
SPIN: Final = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(1_000_000):
        pass
"""


@contextmanager
def awake() -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process of idle priority for each core, all given. Linux only."""
    spinning = [
        subprocess.Popen([sys.executable, "-c", SPIN])  # noqa: S603 - our own words
        for _ in os.sched_getaffinity(0)
    ]
    try:
        yield spinning
    finally:
        for process in spinning:
            process.kill()
            process.wait()
