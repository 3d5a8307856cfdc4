"""Decodes HEIC and AVIF in a process of its own, where they can do no harm.

HEIC: one flipped byte in an item's type (a string that is not UTF-8) ends the process
that runs pi_heif 1.4.0 with SIGSEGV; in a web server, everybody's requests with it.
AVIF: the container may promise 100 x 100 pixels and its AV1 stream hold 16384 x 16384;
libavif decodes them all, so that only a limit on memory is a limit.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Final

from PIL import Image

from profiles.ingest.decoding import damaged
from profiles.ingest.refusal import IngestError, Limits

REFUSED: Final = 65  # exit status, EX_DATAERR of sysexits.h
_MEMORY_BYTES: Final = 2 * 1024**3  # 52 megapixels need about a third of it
_TIMEOUT_SECONDS: Final = 30.0
# So many children at most of each of our processes: together they fit into memory.
_PLACES: Final = BoundedSemaphore(2)
_PATIENCE_SECONDS: Final = 30.0
# All of it: the child gets no secret, and numpy no thread per core to count as memory.
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1"}
_ROOT: Final = Path(__file__).resolve().parents[2]


def decode(data: bytes, kind: str, *, limits: Limits, side_pixels: int) -> Image.Image:
    """Like `decoding.decode`, and a crash, a hang or too much memory is damage too.

    IngestError "busy" when no place becomes free in half a minute.
    """
    job = {
        "memory_bytes": _MEMORY_BYTES,
        "limits": asdict(limits),
        "kind": kind,
        "side_pixels": side_pixels,
    }
    with _place():
        done = _run(job, data)
    if done.returncode == REFUSED:
        raise IngestError(**json.loads(done.stdout))
    if done.returncode != 0:
        raise damaged()
    with Image.open(BytesIO(done.stdout), formats=["PPM"]) as image:
        image.load()
        return image


@contextmanager
def _place() -> Iterator[None]:
    if not _PLACES.acquire(timeout=_PATIENCE_SECONDS):
        raise IngestError("busy", "Too many photos are being read now; try again.")
    try:
        yield
    finally:
        _PLACES.release()


def _run(job: dict[str, Any], data: bytes) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603 - our own module, arguments of ours alone
            [sys.executable, "-m", "profiles.ingest", json.dumps(job)],
            input=data,
            capture_output=True,
            cwd=_ROOT,
            env=_ENVIRONMENT,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise damaged() from None
