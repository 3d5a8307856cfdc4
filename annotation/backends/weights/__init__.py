"""The embedded annotator's weights and what is known of them; loads no model."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from annotation.backends.base import AnnotatorVersion, BackendUnavailableError

FOLDER: Final = Path(__file__).parent
NAME: Final = "small-6"
NETWORK: Final = FOLDER / f"{NAME}.onnx"
METADATA: Final = FOLDER / f"{NAME}.json"


def version() -> AnnotatorVersion:
    """Named by the network's content: other weights are never taken for these."""
    return AnnotatorVersion("small", f"{NAME}-{metadata()['sha256'][:8]}")


@cache
def metadata() -> dict[str, Any]:
    """Name, sha256, data sets and their terms, calibration and its errors.

    `research_data` says whether they may serve a product. Raises OSError without them.
    """
    found: dict[str, Any] = json.loads(METADATA.read_text())
    return found


def network() -> bytes:
    """The ONNX file, if it is the one that the metadata tell of.

    Raises BackendUnavailableError where it is missing or another: with the calibration
    of one network the answers of another would be wrong.
    """
    try:
        found = NETWORK.read_bytes()
    except OSError as error:
        raise BackendUnavailableError(f"{NETWORK.name} cannot be read") from error
    if hashlib.sha256(found).hexdigest() != metadata()["sha256"]:
        raise BackendUnavailableError(
            f"{NETWORK.name} is not the network that {METADATA.name} tells of:"
            " put both back, or train anew"
        )
    return found
