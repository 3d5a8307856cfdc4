"""The child of apart.py: an upload on stdin, its rendition as PPM on stdout."""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, Final

import pi_heif
from PIL import AvifImagePlugin

from profiles.ingest.apart import REFUSED
from profiles.ingest.decoding import decode
from profiles.ingest.refusal import IngestError, Limits

_THREADS: Final = 4


def main(job: dict[str, Any]) -> int:
    """Exit status: 0 with an image, REFUSED with the error's kind and message."""
    memory_bytes = job.pop("memory_bytes")
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the photo
    # A thread per core of a large machine would use up the memory before a pixel.
    AvifImagePlugin.DEFAULT_MAX_THREADS = _THREADS
    pi_heif.register_heif_opener(
        thumbnails=False,
        depth_images=False,
        aux_images=False,
        decode_threads=_THREADS,
    )
    limits = Limits(**job.pop("limits"))
    try:
        image = decode(sys.stdin.buffer.read(), limits=limits, **job)
    except IngestError as error:
        json.dump({"kind": error.kind, "message": error.message}, sys.stdout)
        return REFUSED
    image.save(sys.stdout.buffer, "PPM")
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
