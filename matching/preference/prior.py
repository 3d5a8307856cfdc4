"""What is believed of a taste before any example: w ~ N(w0, C). Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from matching.features import BLOCKS, VISUAL, WIDTH

FloatArray = npt.NDArray[np.float64]

# Variance in log-odds that one seen attribute, and the look, may bring (each has mean
# square 1): ten of them and the look make a standard deviation of 1.6.
ATTRIBUTE_VARIANCE = 0.15
VISUAL_VARIANCE = 1.0
COLD = "cold"


@dataclass(frozen=True, eq=False)
class Prior:
    """w ~ N(mean, C) with C = diag(variance) + factor @ factor.T.

    `mean` and `variance` (644,), `factor` (644, r): r directions along which tastes
    differ more. The intercept is the population's log-odds of a like. Examples never
    move it: the share of likes among chosen examples is the asker's choice, not their
    taste.
    """

    mean: FloatArray
    variance: FloatArray
    factor: FloatArray = field(default_factory=lambda: np.zeros((WIDTH, 0)))
    intercept: float = 0.0
    version: str = COLD

    def covariance_times(self, x: FloatArray) -> FloatArray:
        """x @ C of x (..., 644): (..., 644)."""
        product: FloatArray = x * self.variance + (x @ self.factor) @ self.factor.T
        return product

    def gram(self, x: FloatArray) -> FloatArray:
        """x @ C @ x.T of x (n, 644), symmetric to the last bit: (n, n)."""
        scaled = x * np.sqrt(self.variance)
        product: FloatArray = scaled @ scaled.T
        if self.factor.size:
            along = x @ self.factor
            product += along @ along.T
        return product


def cold_prior() -> Prior:
    """The prior before anybody gave feedback: zero mean, isotropic in each block."""
    variance = np.full(WIDTH, ATTRIBUTE_VARIANCE)
    variance[BLOCKS[VISUAL]] = VISUAL_VARIANCE
    return Prior(mean=np.zeros(WIDTH), variance=variance)
