"""What the network is worth: ranking, calibration, identity; by its readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
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
from annotation.schema import visible
from annotation.small.heads import HEADS, PHOTO_HEADS, SLICES, readings
from annotation.small.readout import Readout
from annotation.training.metrics import auc, average_precision, recall_at_1
from annotation.training.network import Encoder
from annotation.training.validation import CELEBA, CLOTHING, LOWER_HALF, Cases

FEWEST_POSITIVES: Final = 10
# CelebA label -> the attribute's values that it can mean.
CELEBA_VALUES: Final[Mapping[str, tuple[str, str]]] = {
    "Black_Hair": ("hair_color", "black"),
    "Brown_Hair": ("hair_color", "dark_brown light_brown"),
    "Blond_Hair": ("hair_color", "blonde"),
    "Gray_Hair": ("hair_color", "grey"),
    "Bald": ("hair_color", "bald"),
    "Straight_Hair": ("hair_texture", "straight"),
    "Wavy_Hair": ("hair_texture", "wavy"),
    "Eyeglasses": ("eyewear", "glasses sunglasses"),
    "Wearing_Hat": ("headwear", "cap hat beanie other"),
    "No_Beard": ("facial_hair", "none moustache"),
    "Goatee": ("facial_hair", "goatee"),
    "Mustache": ("facial_hair", "moustache"),
    "Heavy_Makeup": ("makeup", "light heavy"),
    "Smiling": ("expression", "smile laugh"),
    "Wearing_Earrings": ("accessories", "earrings"),
    "Wearing_Necklace": ("accessories", "necklace"),
    "Wearing_Necktie": ("accessories", "necktie"),
}
FACIAL: Final = ("facial_hair", "makeup", "expression", "eyewear", "hair_color")

GROUPS: Final = (
    ("men", "Male", True),
    ("women", "Male", False),
    ("younger", "Young", True),
    ("older", "Young", False),
)

Readings = list[dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Score:
    """How well one label is told; `base` is the share of positives, a coin's AP."""

    label: str
    means: str
    positives: int
    base: float
    auc: float
    average_precision: float
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
            f"mean_{name}_{part}": _mean(part, getattr(self, name))
            for name in ("faces", "clothes")
            for part in ("auc", "calibration_error_raw", "calibration_error")
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


def evaluate(logits: Floats, features: Floats, cases: Cases) -> Evaluation:
    """Scores on cases not trained on; each half calibrated on the other."""
    raw = readings(_uncalibrated().answers(logits, cases.room))
    fitted = _cross_fitted(logits, cases)
    faces, clothes = cases.kind == CELEBA, cases.kind == CLOTHING
    return Evaluation(
        faces=list(_face_scores(raw, fitted, cases, faces)),
        clothes=list(_clothes_scores(raw, fitted, cases, clothes)),
        groups=_by_group(fitted, cases, faces),
        lower_halves_unseen=_unseen(fitted, cases.kind == LOWER_HALF),
        identity_recall_at_1=recall_at_1(features[faces], cases.identity[faces]),
        identity_recall_at_1_of_pixels=recall_at_1(
            _pixels(cases.faces[faces]), cases.identity[faces]
        ),
    )


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


def _face_scores(
    raw: Readings, fitted: Readings, cases: Cases, chosen: npt.NDArray[np.bool_]
) -> Iterator[Score]:
    rows = np.flatnonzero(chosen)
    for label, (attribute, values) in CELEBA_VALUES.items():
        outcomes = np.array([cases.labels[row][label] for row in rows])

        def said(found: Readings, a: str = attribute, v: str = values) -> Floats:
            return np.array([_given_visible(found[row][a], v.split()) for row in rows])

        yield _score(label, f"{attribute}: {values}", said, raw, fitted, outcomes)


def _by_group(
    fitted: Readings, cases: Cases, chosen: npt.NDArray[np.bool_]
) -> dict[str, float]:
    """Mean AUC per group of people, over the labels that every group has enough of.

    CelebA's Male and Young are used here, to compare, and nowhere else.
    """
    everybody = np.flatnonzero(chosen)
    groups = {
        name: [int(row) for row in everybody if cases.labels[row][label] is value]
        for name, label, value in GROUPS
    }
    common = [label for label in CELEBA_VALUES if _told_apart(label, groups, cases)]
    return {
        name: float(np.mean([_label_auc(one, rows, fitted, cases) for one in common]))
        if common
        else math.nan
        for name, rows in groups.items()
    }


def _told_apart(label: str, groups: dict[str, list[int]], cases: Cases) -> bool:
    counts = [
        (sum(cases.labels[row][label] for row in members), len(members))
        for members in groups.values()
    ]
    return all(FEWEST_POSITIVES <= k <= n - FEWEST_POSITIVES for k, n in counts)


def _label_auc(label: str, rows: list[int], found: Readings, cases: Cases) -> float:
    attribute, values = CELEBA_VALUES[label]
    said = [_given_visible(found[row][attribute], values.split()) for row in rows]
    return auc(np.array(said), np.array([cases.labels[row][label] for row in rows]))


def _clothes_scores(
    raw: Readings, fitted: Readings, cases: Cases, chosen: npt.NDArray[np.bool_]
) -> Iterator[Score]:
    for head in PHOTO_HEADS[1:]:
        targets = cases.targets[:, SLICES[head.name]]
        for index, value in enumerate(head.classes):
            known = chosen & (
                targets.sum(1) == 1 if head.exclusive else targets[:, index] >= 0
            )
            rows = np.flatnonzero(known)
            outcomes = targets[rows, index] == 1

            def said(
                found: Readings, a: str = head.name, v: str = value, r: Any = rows
            ) -> Floats:
                return np.array([_given_visible(found[row][a], [v]) for row in r])

            if outcomes.sum() >= FEWEST_POSITIVES:
                yield _score(value, head.name, said, raw, fitted, outcomes)


def _given_visible(distribution: Mapping[str, float], values: list[str]) -> float:
    total = sum(distribution[value] for value in values)
    return min(1.0, total / max(visible(distribution), 1e-6))


def _score(
    label: str,
    means: str,
    said: Callable[[Readings], Floats],
    raw: Readings,
    fitted: Readings,
    outcomes: npt.NDArray[np.bool_],
) -> Score:
    before, after = said(raw), said(fitted)
    return Score(
        label=label,
        means=means,
        positives=int(outcomes.sum()),
        base=float(outcomes.mean()),
        auc=auc(after, outcomes),
        average_precision=average_precision(after, outcomes),
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


def _mean(part: str, scores: list[Score]) -> float | None:
    values = [getattr(score, part) for score in scores]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
