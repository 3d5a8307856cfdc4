"""From real photos to weights that the embedded annotator can be given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.small.heads import WIDTH
from annotation.small.readout import Readout
from annotation.training import recipe
from annotation.training.pipeline import Plan, train_encoder

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    """Batches this small are only slowed down by a second one."""
    torch.set_num_threads(1)


def quick(folder: Path) -> Path:
    """The shipped recipe with one epoch a stage and small batches."""
    text = re.sub(r"epochs = \d+", "epochs = 1", recipe.DEFAULT.read_text())
    path = folder / "quick.toml"
    path.write_text(re.sub(r"batch = \d+", "batch = 8", text))
    return path


@pytest.mark.data
@pytest.mark.skipif(
    not settings.TRAINING_DATA.is_dir(), reason="the training data are not here"
)
def test_it_trains_from_real_photos_to_described_weights(tmp_path: Path) -> None:
    plan = Plan(
        data=settings.TRAINING_DATA,
        out=tmp_path / "out",
        name="tiny",
        run=tmp_path / "run",
        recipe=quick(tmp_path),
        limit=8,
    )
    metadata = train_encoder(plan)
    assert (plan.out / "tiny.onnx").stat().st_size == metadata["bytes"]
    written = json.loads((plan.out / "tiny.json").read_text())
    assert written["sha256"] == metadata["sha256"]
    assert written["research_data"] is True
    assert [leg["stage"] for leg in written["learned"] if leg["branch"] == "face"] == [
        "warm-up",
        "fine-tuning",
        "refinement",
        "refinement",
    ]
    assert {file.name for file in plan.out.iterdir()} == {"tiny.onnx", "tiny.json"}
    readout = Readout.of_json(written["calibration"])
    answers = readout.answers(np.zeros((1, WIDTH), np.float32), np.ones(1))
    assert answers.probabilities.shape == (1, WIDTH)
