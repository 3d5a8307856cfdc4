"""How true probabilities are is measured on photos that they were not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

from annotation.backends import weights
from annotation.calibration.scaling import Floats
from annotation.evaluation import labels
from annotation.evaluation.cases import CELEBA, Case, Cases
from annotation.evaluation.metrics import Outcomes
from annotation.evaluation.sources import pixels
from annotation.small.framing import look
from annotation.small.heads import HEADS, SLICES, WIDTH
from annotation.small.readout import Readout
from annotation.training import calibrating
from annotation.training.export import answers
from tests import labelled

pytestmark = pytest.mark.torch
PHOTOS = 160
HALF = np.arange(1, PHOTOS + 1) % 2
EXPRESSION = next(head for head in HEADS if head.name == "expression").classes


def case(*, smiles: bool) -> Case:
    names = (*labelled.NAMED, *labelled.TOLD)
    said = dict.fromkeys(names, False) | {"Smiling": smiles}
    views = labels.celeba_face(said), labels.celeba_photo(said)
    return Case(b"", CELEBA, np.concatenate(views), said)


def sure_of(smiles: Outcomes) -> Floats:
    """Logits of somebody who is very sure of a face, and of who smiles."""
    logits = np.zeros((PHOTOS, WIDTH))
    logits[:, SLICES["presence"]] = 9
    start = SLICES["expression"].start
    logits[:, start + EXPRESSION.index("smile")] = np.where(smiles, 5, -5)
    logits[:, start + EXPRESSION.index("open_smile")] = -9
    return logits


def error(says: Outcomes) -> dict[str, float]:
    """Of the label Smiling, which every second pair of photos has."""
    smiles = np.arange(PHOTOS) // 4 % 2 == 0
    cases = Cases.of(case(smiles=bool(one)) for one in smiles)
    room = np.zeros(PHOTOS, np.float32)
    found = calibrating.cross_fitted(sure_of(says), room, cases)
    told: dict[str, float] = found["faces"]["labels"]["Smiling"]
    assert found["clothes"] is None
    return told


def test_too_sure_an_encoder_is_told_so_and_calibrated() -> None:
    smiles = np.arange(PHOTOS) // 4 % 2 == 0
    wrong = np.random.default_rng(1).random(PHOTOS) < 0.25
    told = error(smiles ^ wrong)
    assert told["raw"] > 0.2
    assert told["calibrated"] < 0.1


def test_a_half_is_never_calibrated_by_itself() -> None:
    smiles = np.arange(PHOTOS) // 4 % 2 == 0
    # Wrong in one half and right in the other: what one teaches misleads the other.
    assert error(smiles ^ (HALF == 1))["calibrated"] > 0.3


def test_the_file_that_is_shipped_is_what_is_calibrated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = [labelled.face(place) for place in range(5)]
    seen = [look(pixels(photo)) for photo in photos]
    fitted: list[Floats] = []
    monkeypatch.setattr(Readout, "fit", lambda logits, _: fitted.append(logits))
    monkeypatch.setattr(calibrating, "cross_fitted", lambda *_: {})
    smiling = [replace(case(smiles=True), photo=photo) for photo in photos]
    calibrating.calibrate(weights.NETWORK, Cases.of(smiling))
    views = np.stack([one.face for one in seen]), np.stack([one.photo for one in seen])
    assert fitted[0] == pytest.approx(answers(weights.NETWORK, *views)[0], abs=1e-3)
    assert calibrating.looks(photos).room.tolist() == [one.room for one in seen]
