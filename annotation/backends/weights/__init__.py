"""The embedded annotator's weights and what is known of them; loads no model."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from annotation.backends.base import AnnotatorVersion

FOLDER: Final = Path(__file__).parent
NAME: Final = "small-3"
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
