"""What the network is worth: ranking, calibration, identity; by its readings."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from annotation.calibration.scaling import (
    Floats,
    expected_calibration_error,
    unchanged,
)
from annotation.small.heads import HEADS, readings
from annotation.small.readout import Readout
from annotation.training import questions
from annotation.training.metrics import (
    auc,
    average_precision,
    balanced_accuracy,
    best_threshold,
    recall_at_1,
)
from annotation.training.network import Encoder
from annotation.training.questions import Question, Readings
from annotation.training.validation import CELEBA, LOWER_HALF, Cases

FEWEST_POSITIVES: Final = 10
FACIAL: Final = ("facial_hair", "makeup", "expression", "eyewear", "hair_color")

MEANS: Final = (
    "auc",
    "balanced_accuracy",
    "calibration_error_raw",
    "calibration_error",
)
GROUPS: Final = (
    ("men", "Male", True),
    ("women", "Male", False),
    ("younger", "Young", True),
    ("older", "Young", False),
)


@dataclass(frozen=True)
class Score:
    """How well one label is told; `base` is the share of positives, a coin's AP."""

    label: str
    means: str
    positives: int
    base: float
    auc: float
    average_precision: float
    balanced_accuracy: float
    calibration_error_raw: float
    calibration_error: float


@dataclass(frozen=True)
class Evaluation:
    """Everything the model card reports."""

    faces: list[Score]
    clothes: list[Score]
    groups: dict[str, float]
    lower_halves_unseen: float
    identity_recall_at_1: float
    identity_recall_at_1_of_pixels: float

    def as_json(self) -> dict[str, Any]:
        """Rounded to four decimals, with the means on top."""
        means = {
            f"mean_{name}_{part}": _mean_of(
                [getattr(score, part) for score in getattr(self, name)]
            )
            for name in ("faces", "clothes")
            for part in MEANS
        }
        found: dict[str, Any] = _rounded(means | asdict(self))
        return found


@torch.no_grad()
def run(encoder: Encoder, cases: Cases, batch: int = 256) -> tuple[Floats, Floats]:
    """Logits (n, WIDTH) and features (n, 512) of all cases."""
    parts = [
        encoder(
            torch.from_numpy(cases.faces[start : start + batch]),
            torch.from_numpy(cases.photos[start : start + batch]),
        )
        for start in range(0, len(cases.faces), batch)
    ]
    logits, features = (
        torch.cat(column).numpy() for column in zip(*parts, strict=True)
    )
    return logits, features


def evaluate(
    logits: Floats,
    features: Floats,
    cases: Cases,
    thresholds: Mapping[str, float],
) -> Evaluation:
    """Scores on cases not trained on; each half calibrated on the other.

    `thresholds` as from `thresholds`, chosen on cases trained on.
    """
    raw = readings(_uncalibrated().answers(logits, cases.room))
    fitted = _cross_fitted(logits, cases)
    faces = cases.kind == CELEBA

    def scores(asked: Iterable[Question]) -> list[Score]:
        return [
            _score(one, raw, fitted, thresholds[_name(one)])
            for one in asked
            if one.outcomes.sum() >= FEWEST_POSITIVES
        ]

    return Evaluation(
        faces=scores(questions.of_faces(cases)),
        clothes=scores(questions.of_clothes(cases)),
        groups=_by_group(fitted, cases),
        lower_halves_unseen=_unseen(fitted, cases.kind == LOWER_HALF),
        identity_recall_at_1=recall_at_1(features[faces], cases.identity[faces]),
        identity_recall_at_1_of_pixels=recall_at_1(
            _pixels(cases.faces[faces]), cases.identity[faces]
        ),
    )


def thresholds(readout: Readout, logits: Floats, cases: Cases) -> dict[str, float]:
    """The score of each label above which to say yes, by balanced accuracy."""
    found = readings(readout.answers(logits, cases.room))
    asked = (*questions.of_faces(cases), *questions.of_clothes(cases))
    return {_name(one): best_threshold(one.said(found), one.outcomes) for one in asked}


def _name(asked: Question) -> str:
    return f"{asked.attribute}.{asked.label}"


def _uncalibrated() -> Readout:
    same = {head.name: unchanged(len(head.classes)) for head in HEADS}
    return Readout(same, 0.0, 1.0)


def _cross_fitted(logits: Floats, cases: Cases) -> Readings:
    """Each half read with the calibration that was fitted on the other."""
    merged: Readings = [{}] * len(logits)
    half = np.arange(len(logits)) // 2 % 2
    for part in (0, 1):
        readout = Readout.fit(logits[half != part], cases.targets[half != part])
        rows = np.flatnonzero(half == part)
        answers = readout.answers(logits[rows], cases.room[rows])
        for row, reading in zip(rows, readings(answers), strict=True):
            merged[row] = reading
    return merged


def _by_group(fitted: Readings, cases: Cases) -> dict[str, float]:
    """Mean AUC per group of people, over the labels that every group has enough of.

    CelebA's Male and Young are used here, to compare, and nowhere else.
    """
    groups = {
        name: np.array([labels.get(label) is value for labels in _celeba(cases)])
        for name, label, value in GROUPS
    }
    common = [
        one
        for one in questions.of_faces(cases)
        if all(_told_apart(one.among(group)) for group in groups.values())
    ]
    return {
        name: _mean_of(
            [auc(own.said(fitted), own.outcomes) for own in _among(common, group)]
        )
        for name, group in groups.items()
    }


def _celeba(cases: Cases) -> Iterator[Mapping[str, bool]]:
    for kind, labels in zip(cases.kind, cases.labels, strict=True):
        yield labels if kind == CELEBA else {}


def _among(asked: list[Question], group: npt.NDArray[np.bool_]) -> Iterator[Question]:
    return (one.among(group) for one in asked)


def _told_apart(asked: Question) -> bool:
    positives, total = int(asked.outcomes.sum()), len(asked.outcomes)
    return FEWEST_POSITIVES <= positives <= total - FEWEST_POSITIVES


def _score(asked: Question, raw: Readings, fitted: Readings, threshold: float) -> Score:
    outcomes = asked.outcomes
    before, after = asked.said(raw), asked.said(fitted)
    means = " ".join(asked.values)
    return Score(
        label=asked.label,
        means=asked.attribute
        if means == asked.label
        else f"{asked.attribute}: {means}",
        positives=int(outcomes.sum()),
        base=float(outcomes.mean()),
        auc=auc(after, outcomes),
        average_precision=average_precision(after, outcomes),
        balanced_accuracy=balanced_accuracy(after >= threshold, outcomes),
        calibration_error_raw=expected_calibration_error(before, outcomes),
        calibration_error=expected_calibration_error(after, outcomes),
    )


def _unseen(found: Readings, chosen: npt.NDArray[np.bool_]) -> float:
    """Share of photos without a face whose facial attributes are mostly not visible."""
    hidden = [
        found[row][name]["not_visible"] >= 0.5
        for row in np.flatnonzero(chosen)
        for name in FACIAL
    ]
    return float(np.mean(hidden))


def _pixels(faces: npt.NDArray[np.uint8]) -> Floats:
    """Faces as centred grey pixels of length 1, (n, 576): the embedding's rival."""
    small = faces[:, 2::4, 2::4].mean(3).reshape(len(faces), -1)
    centred = small - small.mean(1, keepdims=True)
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


def _mean_of(values: list[float]) -> float:
    """The mean of those that are numbers; nan without any."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
