"""From the embedded network's logits to calibrated answers; fitted and kept as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation.calibration.scaling import (
    Floats,
    Labels,
    Scaling,
    fit_exclusive,
    fit_independent,
    sigmoid,
    softmax,
)
from annotation.small.heads import HEADS, SLICES, Answers, blonde_over_black


class ReadoutError(Exception):
    """The calibration was made for other heads than this code has."""


@dataclass(frozen=True)
class Readout:
    """A scaling per head, and where brown hair turns from dark to light.

    No data set tells dark from light brown: hair is light brown as far as it leans to
    blonde rather than black, half of all brown hair being called light.
    """

    scalings: dict[str, Scaling]
    brown_middle: float
    brown_spread: float

    @classmethod
    def fit(cls, logits: Floats, targets: Labels) -> Readout:
        """Fitted on (n, WIDTH) logits and targets of photos not trained on."""
        scalings = {
            head.name: (fit_exclusive if head.exclusive else fit_independent)(
                logits[:, SLICES[head.name]], targets[:, SLICES[head.name]]
            )
            for head in HEADS
        }
        lean = blonde_over_black(logits)[_brown(targets)]
        middle, spread = (lean.mean(), lean.std()) if len(lean) > 1 else (0.0, 1.0)
        return cls(scalings, float(middle), float(spread))

    @classmethod
    def of_json(cls, kept: dict[str, Any]) -> Readout:
        """The inverse of `as_json`; ReadoutError if the heads are not these."""
        if kept["heads"] != _layout():
            raise ReadoutError("the weights were made for other heads")
        scalings = {
            name: Scaling(np.array(one["scale"]), np.array(one["bias"]))
            for name, one in kept["scalings"].items()
        }
        return cls(scalings, kept["brown_middle"], kept["brown_spread"])

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, for the metadata beside the weights."""
        scalings = {
            name: {
                "scale": np.round(one.scale, 5).tolist(),
                "bias": np.round(one.bias, 5).tolist(),
            }
            for name, one in self.scalings.items()
        }
        return {
            "heads": _layout(),
            "scalings": scalings,
            "brown_middle": round(self.brown_middle, 5),
            "brown_spread": round(self.brown_spread, 5),
        }

    def answers(self, logits: Floats, room: Floats) -> Answers:
        """Calibrated answers to (n, WIDTH) logits of photos with this much `room`."""
        parts = [
            (softmax if head.exclusive else sigmoid)(
                self.scalings[head.name].apply(logits[:, SLICES[head.name]])
            )
            for head in HEADS
        ]
        lean = (blonde_over_black(logits) - self.brown_middle) / self.brown_spread
        return Answers(
            np.concatenate(parts, 1).astype(np.float32),
            sigmoid(2 * lean).astype(np.float32),
            np.asarray(room, np.float32),
        )


def _brown(targets: Labels) -> npt.NDArray[np.bool_]:
    """Photos whose hair is labelled brown and nothing else."""
    colours = targets[:, SLICES["hair_color"]]
    return np.asarray((colours.sum(1) == 1) & (colours[:, 1] == 1))


def _layout() -> dict[str, list[str]]:
    return {head.name: list(head.classes) for head in HEADS}
