"""Importance sliders: what an attribute, a group or the look is to count. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from annotation.schema import BY_NAME, SCHEMA, Group
from matching.features import BLOCKS, VISUAL, WIDTH


def importance(sliders: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Factor of every feature, (644,), of sliders by attribute, group or "visual".

    An attribute's slider multiplies its group's. Raises ValueError if one is unknown,
    negative or not finite.
    """
    unknown = sorted(set(sliders) - {VISUAL, *BY_NAME, *Group})
    if unknown:
        raise ValueError(f"no such attribute or group: {', '.join(unknown)}")
    if not all(np.isfinite(s) and s >= 0 for s in sliders.values()):
        raise ValueError("an importance is a finite number, 0 or more")
    factors = np.ones(WIDTH)
    factors[BLOCKS[VISUAL]] = sliders.get(VISUAL, 1.0)
    for attribute in SCHEMA:
        of_group = sliders.get(attribute.group, 1.0)
        factors[BLOCKS[attribute.name]] = of_group * sliders.get(attribute.name, 1.0)
    return factors
