"""The encoder's calibration, fitted to photos kept from training, and its own measure.

Whoever measures the calibrated annotator on these photos again, measures it on what it
was fitted to: how true its probabilities are is measured here, each half of the photos
with the calibration of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from annotation.calibration.scaling import (
    Floats,
    expected_calibration_error,
    unchanged,
)
from annotation.evaluation import questions
from annotation.evaluation.attributes import ACCESSORIES, FEWEST_POSITIVES
from annotation.evaluation.cases import Cases
from annotation.evaluation.questions import Question, Readings
from annotation.evaluation.sources import pixels
from annotation.schema import Attributes
from annotation.small.framing import Look, look
from annotation.small.heads import HEADS, readings
from annotation.small.pixels import Image
from annotation.small.readout import Readout
from annotation.training.export import answers

DECIMALS: Final = 4


@dataclass(frozen=True)
class Views:
    """n photos as the network looks at them, uint8 (n, h, w, 3), and their `room`."""

    faces: Image
    photos: Image
    room: Floats


def calibrate(network: Path, cases: Cases) -> tuple[Readout, dict[str, Any]]:
    """The readout fitted to all cases, and the calibration errors of `cross_fitted`.

    `network` is the file that is shipped: rounding is calibrated away with the rest.
    """
    seen = looks(cases.photos)
    logits, _ = answers(network, seen.faces, seen.photos)
    readout = Readout.fit(logits, cases.targets)
    return readout, cross_fitted(logits, seen.room, cases)


def looks(photos: Sequence[bytes]) -> Views:
    """What is to be seen of encoded photos."""
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(_look, photos))
    return Views(
        np.stack([one.face for one in seen]),
        np.stack([one.photo for one in seen]),
        np.array([one.room for one in seen], np.float32),
    )


def _look(photo: bytes) -> Look:
    return look(pixels(photo))


def cross_fitted(logits: Floats, room: Floats, cases: Cases) -> dict[str, Any]:
    """ECE before and after calibration, of labels with positives enough, by part."""
    raw = readings(_uncalibrated().answers(logits, room))
    fitted = _each_by_the_other(logits, room, cases)
    clothes = list(questions.of_clothes(cases))
    parts = {
        "faces": questions.of_faces(cases),
        "clothes": (one for one in clothes if one.attribute != ACCESSORIES),
        "accessories": (one for one in clothes if one.attribute == ACCESSORIES),
    }
    return {name: _errors(asked, raw, fitted) for name, asked in parts.items()}


def _errors(asked: Iterable[Question], raw: Readings, fitted: Readings) -> Any:
    labels = {
        one.label: {"raw": _error(one, raw), "calibrated": _error(one, fitted)}
        for one in asked
        if FEWEST_POSITIVES <= one.outcomes.sum() < len(one.outcomes)
    }
    if not labels:
        return None
    return {
        name: round(float(np.mean([one[name] for one in labels.values()])), DECIMALS)
        for name in ("raw", "calibrated")
    } | {"labels": labels}


def _error(asked: Question, found: Readings) -> float:
    error = expected_calibration_error(asked.said(found), asked.outcomes)
    return round(error, DECIMALS)


def _uncalibrated() -> Readout:
    same = {head.name: unchanged(len(head.classes)) for head in HEADS}
    return Readout(same, 0.0, 1.0)


def _each_by_the_other(logits: Floats, room: Floats, cases: Cases) -> Readings:
    """Each half read with the calibration that was fitted on the other.

    A street photo and its lower half, which follow each other, are in the same half.
    """
    merged: list[Attributes] = [{}] * len(logits)
    half = cases.pairs() % 2
    for part in (0, 1):
        readout = Readout.fit(logits[half != part], cases.targets[half != part])
        rows = np.flatnonzero(half == part)
        answers = readout.answers(logits[rows], room[rows])
        for row, reading in zip(rows, readings(answers), strict=True):
            merged[row] = reading
    return merged
