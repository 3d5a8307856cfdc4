"""Features made equally telling: whitened, so that no direction counts twice."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import nn

from annotation.calibration.scaling import Floats

# Of the largest variance: below that a direction is noise, which is not blown up.
LEAST_VARIANCE: Final = 1e-4


def whiten(layer: nn.Linear, features: Floats) -> None:
    """Set a square layer so that these features (n, width) leave it uncorrelated.

    Mean 0 and variance 1 along their principal axes (Jegou & Chum 2012): labels that go
    together have made most features alike, and likeness would be theirs alone.
    """
    mean = features.mean(0)
    covariance = np.cov(features - mean, rowvar=False)
    variance, axes = np.linalg.eigh(covariance)
    variance = np.maximum(variance, LEAST_VARIANCE * variance[-1])
    weight = (axes / np.sqrt(variance)).T
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(-weight @ mean))
