"""How much of this machine's memory Postgres may take."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

# Of the newer and of the older kind of containers.
CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)
SHARED = Path("/dev/shm")  # noqa: S108 - asked for its size only
# Of the memory, for pages that are kept.
BUFFERS_SHARE: Final = 1 / 8
LEAST_MB, MOST_MB = 128, 4_096
# To build an index by several processes, to join tables.
PARALLEL_BYTES: Final = 1024**3


def settings() -> dict[str, str]:
    """Postgres's settings for this machine."""
    # Taken as they are read; what does not fit is copied from the system each time.
    megabytes = int(memory_bytes() * BUFFERS_SHARE) >> 20
    buffers = {"shared_buffers": f"{min(max(megabytes, LEAST_MB), MOST_MB)}MB"}
    # Parallel work needs shared memory, of which containers have little.
    if SHARED.exists() and shutil.disk_usage(SHARED).free < PARALLEL_BYTES:
        return buffers | {"dynamic_shared_memory_type": "mmap"}
    return buffers


def memory_bytes() -> int:
    """What this machine has, or what the container that we are in may use of it."""
    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            most = min(most, int(limit.read_text()))
    return most
