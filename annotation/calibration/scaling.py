"""Probabilities that mean what they say: scaling logits, and measuring how far off.

A head's logits become `scale * logit + bias` (vector scaling: Guo et al., 2017, 4.2;
for a sigmoid that is Platt, 1999), fitted on photos the network has not learned from.
Pure: numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int8]

STEPS: Final = 400
RATE: Final = 0.02
# Pulls scale to 1 and bias to 0: decides only where there are hardly any examples.
RIDGE: Final = 1e-3
BINS: Final = 15


@dataclass(frozen=True)
class Scaling:
    """How one head's logits are corrected: `scale` and `bias`, each (classes,)."""

    scale: Floats
    bias: Floats

    def apply(self, logits: Floats) -> Floats:
        """Corrected logits, (n, classes)."""
        return logits * self.scale + self.bias


def unchanged(classes: int) -> Scaling:
    """The scaling that changes nothing."""
    return Scaling(np.ones(classes), np.zeros(classes))


def softmax(logits: Floats) -> Floats:
    """Probabilities along the last axis; they sum to 1."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(-1, keepdims=True))


def sigmoid(logits: Floats) -> Floats:
    """Probabilities, element by element, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def fit_exclusive(logits: Floats, allowed: Labels, *, ridge: float = RIDGE) -> Scaling:
    """One scale and a bias per class, (n, k) logits; by partial-label likelihood.

    `allowed` is 1 for every class a photo's label can mean; a row of 0 is not used.
    """
    known = (allowed > 0).any(1)
    if not known.any():
        return unchanged(logits.shape[1])
    z, mask = logits[known], allowed[known] > 0

    def gradient(scale: Floats, bias: Floats) -> tuple[Floats, Floats]:
        p = softmax(z * scale + bias)
        within = np.where(mask, p, 0)
        pull = p - within / np.maximum(within.sum(1, keepdims=True), 1e-12)
        shared = (pull * z).sum(1).mean()
        return np.full(z.shape[1], shared), pull.mean(0)

    return _descend(gradient, z.shape[1], ridge)


def fit_independent(
    logits: Floats, labels: Labels, *, ridge: float | Floats = RIDGE
) -> Scaling:
    """A scale and a bias for each class; labels 1, 0, or negative for unknown.

    `ridge` may be one number, or one for each class.
    """
    known = labels >= 0
    count = np.maximum(known.sum(0), 1)

    def gradient(scale: Floats, bias: Floats) -> tuple[Floats, Floats]:
        pull = np.where(known, sigmoid(logits * scale + bias) - labels, 0)
        return (pull * logits).sum(0) / count, pull.sum(0) / count

    return _descend(gradient, logits.shape[1], ridge)


def _descend(
    gradient: Callable[[Floats, Floats], tuple[Floats, Floats]],
    classes: int,
    ridge: float | Floats,
) -> Scaling:
    """Adam (Kingma & Ba, 2015) over (log scale, bias): the scale stays positive."""
    at = np.zeros((2, classes))
    mean, square = np.zeros_like(at), np.zeros_like(at)
    for step in range(1, STEPS + 1):
        scale = np.exp(at[0])
        by_scale, by_bias = gradient(scale, at[1])
        slope = np.stack([by_scale * scale, by_bias]) + ridge * at
        mean = 0.9 * mean + 0.1 * slope
        square = 0.999 * square + 0.001 * slope**2
        unbiased = np.sqrt(square / (1 - 0.999**step)) + 1e-8
        at = at - RATE * mean / (1 - 0.9**step) / unbiased
    return Scaling(np.exp(at[0]), at[1])


@dataclass(frozen=True)
class Outcomes:
    """n things that were said and came or did not; every field is (n,).

    `said` is the probability given to it, or NaN where nobody can tell whether it was
    so; `came` 1 where it was, `right` 1 where the likeliest answer may be true, `loss`
    -log of the truth's probability. `weight` is what it counts: the parts of one label
    add up to 1.
    """

    said: Floats
    came: Floats
    right: Floats
    loss: Floats
    weight: Floats

    @classmethod
    def joined(cls, parts: Iterable[Outcomes]) -> Outcomes:
        """Those of several attributes as if they were of one."""
        columns = zip(*(astuple(part) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True)
class Bin:
    """Statements of about the same probability: what was said and seen, on average."""

    said: float
    came: float
    labels: float


def reliability(outcomes: Outcomes, bins: int = BINS) -> list[Bin]:
    """The reliability diagram: equal bins of probability, without the empty ones."""
    told = ~np.isnan(outcomes.said)
    p, counts = outcomes.said[told], outcomes.weight[told]
    bin_of = np.minimum((p * bins).astype(int), bins - 1)
    weight, said, came = (
        np.bincount(bin_of, counts * column, minlength=bins)
        for column in (1, p, outcomes.came[told])
    )
    filled = zip(weight, said, came, strict=True)
    return [Bin(s / w, c / w, w) for w, s, c in filled if w > 0]


def expected_calibration_error(
    probabilities: Floats, outcomes: npt.NDArray[Any], bins: int = BINS
) -> float:
    """Mean distance of said from seen frequency over equal bins (Guo et al., 2017)."""
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    gap = np.bincount(bin_of, probabilities - outcomes, minlength=bins)
    return float(np.abs(gap).sum() / max(len(probabilities), 1))
