"""Photos as an annotator has seen them, in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from annotation.schema import Attributes


@dataclass(frozen=True, eq=False)
class Seen:
    """n photos as searches would read them, without a calibration.

    `features` (n, width), zeros where a photo has none; None if none has any. A photo
    that could not be read shows nothing; `failed` counts them, by reason.
    """

    attributes: Sequence[Attributes]
    features: npt.NDArray[np.float32] | None
    failed: Mapping[str, int]
