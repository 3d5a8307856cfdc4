"""Match scores that mean what they say: from a preference's log-odds to likes. Pure.

A calibrator never decreases, so it moves nobody. Two are fitted, and the one with the
lower log-loss on outcomes it has not seen is taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from matching.preference import sigmoid

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

FOLDS = 5
# With fewer outcomes, or fewer of a kind, a calibrator says more about chance.
MIN_OUTCOMES = 100
MIN_OF_A_KIND = 10
NEWTON_STEPS = 100
NEWTON_TOLERANCE = 1e-10
# Platt's targets are never 0 or 1, so the loss is strictly convex but for equal scores.
RIDGE = 1e-9


@dataclass(frozen=True)
class Platt:
    """sigmoid(slope * log-odds + intercept), slope 0 or more (Platt 1999)."""

    slope: float
    intercept: float
    method: ClassVar[str] = "platt"

    def __call__(self, log_odds: FloatArray) -> FloatArray:
        return sigmoid(self.slope * log_odds + self.intercept)


@dataclass(frozen=True)
class Isotonic:
    """A straight line from knot to knot, level beyond them; both tuples ascend."""

    log_odds: tuple[float, ...]
    chances: tuple[float, ...]
    method: ClassVar[str] = "isotonic"

    def __call__(self, log_odds: FloatArray) -> FloatArray:
        return np.asarray(np.interp(log_odds, self.log_odds, self.chances))


Calibrator = Platt | Isotonic


@dataclass(frozen=True)
class Fitted:
    """The better calibrator, and log-losses in nats on outcomes not learned from.

    `losses` has those of "platt", of "isotonic", and of "model", its own probability.
    """

    calibrator: Calibrator
    losses: Mapping[str, float]
    outcomes: int
    likes: int

    @property
    def is_better(self) -> bool:
        """Whether it says more than the model's own probability does."""
        return self.losses[self.calibrator.method] < self.losses["model"]


def fit(
    scores: npt.ArrayLike, *, liked: npt.ArrayLike, viewers: Sequence[str] | None = None
) -> Fitted:
    """Fit to outcomes: log-odds (n,) before any ranking stage, and liked or not (n,).

    Outcomes of one of the `viewers` (n,) are held out together: some like nearly all.
    Raises ValueError if there are too few, or a score is not finite.
    """
    x, y = _checked(scores, liked)
    fold = _folds(len(x), viewers)
    losses = {"model": log_loss(sigmoid(x), y)}
    for name, fitted in FITS.items():
        losses[name] = log_loss(_held_out(fitted, x, y, fold), y)
    best = min(FITS, key=losses.__getitem__)
    return Fitted(FITS[best](x, y), losses, len(y), int(y.sum()))


def fit_platt(x: FloatArray, y: BoolArray) -> Platt:
    """Newton's method on Platt's smoothed targets (Lin, Lin and Weng 2007)."""
    likes, others = int(y.sum()), int((~y).sum())
    targets = np.where(y, (likes + 1) / (likes + 2), 1 / (others + 2))
    design = np.column_stack([x, np.ones(len(x))])
    theta: FloatArray = np.array([0.0, np.log((likes + 1) / (others + 1))])
    for _ in range(NEWTON_STEPS):
        p = sigmoid(design @ theta)
        curvature = (design.T * (p * (1 - p))) @ design + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, design.T @ (targets - p) - RIDGE * theta)
        step = _backtracked(design, targets, theta, np.asarray(step, np.float64))
        theta = np.add(theta, step, dtype=np.float64)
        if np.abs(step).max() < NEWTON_TOLERANCE:
            break
    if theta[0] > 0:
        return Platt(float(theta[0]), float(theta[1]))
    # The scores say nothing, or the opposite: all that is known is how many like.
    mean = float(targets.mean())
    return Platt(0.0, float(np.log(mean / (1 - mean))))


def fit_isotonic(x: FloatArray, y: BoolArray) -> Isotonic:
    """Pool adjacent violators (Ayer et al. 1955); one knot a block, at its mean score.

    The line between block centres is the centred form of Oron and Flournoy (2017). No
    chance is nearer to 0 or 1 than n outcomes can tell, 1 / (n + 2).
    """
    values, inverse = np.unique(x, return_inverse=True)
    sizes = np.bincount(inverse).astype(np.float64)
    likes = np.bincount(inverse, weights=y)
    blocks: list[tuple[float, float, float]] = []  # outcomes, likes, sum of the scores
    for block in zip(sizes, likes, sizes * values, strict=True):
        size, liked, total = (float(number) for number in block)
        while blocks and liked * blocks[-1][0] <= blocks[-1][1] * size:
            before = blocks.pop()
            size, liked, total = size + before[0], liked + before[1], total + before[2]
        blocks.append((size, liked, total))
    edge = 1 / (len(x) + 2)
    chances = [min(max(liked / size, edge), 1 - edge) for size, liked, _ in blocks]
    return Isotonic(tuple(total / size for size, _, total in blocks), tuple(chances))


FITS: Mapping[str, Callable[[FloatArray, BoolArray], Calibrator]] = {
    "platt": fit_platt,
    "isotonic": fit_isotonic,
}


def log_loss(chances: FloatArray, liked: BoolArray) -> float:
    """Mean of -ln of the probability given to what came, in nats."""
    given = np.where(liked, chances, 1 - chances)
    return float(-np.log(np.maximum(given, np.finfo(np.float64).tiny)).mean())


def to_dict(calibrator: Calibrator) -> dict[str, Any]:
    """Plain JSON, from which `from_dict` makes the same calibrator."""
    return {"method": calibrator.method, **asdict(calibrator)}


def from_dict(data: Mapping[str, Any]) -> Calibrator:
    """Raises ValueError if it is of a method that is not known."""
    given = dict(data)
    method = given.pop("method", None)
    if method == Platt.method:
        return Platt(**given)
    if method == Isotonic.method:
        return Isotonic(**{name: tuple(knots) for name, knots in given.items()})
    raise ValueError(f"no such calibration method: {method}")


def version(calibrator: Calibrator) -> str:
    """A name made of the content: equal calibrators have equal names."""
    text = json.dumps(to_dict(calibrator), sort_keys=True)
    return "c-" + hashlib.sha256(text.encode()).hexdigest()[:10]


def _checked(
    scores: npt.ArrayLike, liked: npt.ArrayLike
) -> tuple[FloatArray, BoolArray]:
    x = np.asarray(scores, dtype=np.float64).reshape(-1)
    y = np.asarray(liked, dtype=np.bool_).reshape(-1)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} scores but {len(y)} outcomes")
    if not np.isfinite(x).all():
        raise ValueError("a score is not a finite number")
    likes = int(y.sum())
    if len(y) < MIN_OUTCOMES or min(likes, len(y) - likes) < MIN_OF_A_KIND:
        raise ValueError(
            f"{likes} likes and {len(y) - likes} others are too few to calibrate: "
            f"it takes {MIN_OUTCOMES}, and {MIN_OF_A_KIND} of each"
        )
    return x, y


def _folds(count: int, viewers: Sequence[str] | None) -> IntArray:
    """Of every outcome its fold, (n,); of few viewers the outcomes are drawn instead.

    By lot: folds that share out neighbours evenly would tell on what they hold out.
    """
    rng = np.random.default_rng(0)
    if viewers is not None:
        people, whose = np.unique(viewers, return_inverse=True)
        if len(people) >= FOLDS:
            return np.asarray((rng.permutation(len(people)) % FOLDS)[whose])
    return rng.permutation(count) % FOLDS


def _held_out(
    fitted: Callable[[FloatArray, BoolArray], Calibrator],
    x: FloatArray,
    y: BoolArray,
    fold: IntArray,
) -> FloatArray:
    """Of every outcome the chance that was fitted on the other folds, (n,)."""
    chances = np.empty(len(x))
    for number in range(FOLDS):
        own = fold == number
        chances[own] = fitted(x[~own], y[~own])(x[own])
    return chances


def _backtracked(
    design: FloatArray, targets: FloatArray, theta: FloatArray, step: FloatArray
) -> FloatArray:
    """As much of the step as does not raise the loss."""

    def loss(at: FloatArray) -> float:
        z = design @ at
        return float((np.logaddexp(0.0, z) - targets * z).sum())

    before = loss(theta)
    while np.abs(step).max() > NEWTON_TOLERANCE and loss(theta + step) > before:
        step = step / 2
    return step
