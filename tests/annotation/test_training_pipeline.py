"""From real photos to weights that the embedded annotator can be given."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

import torch

from annotation.evaluation import cases
from annotation.small.heads import WIDTH
from annotation.small.readout import Readout
from annotation.training import calibrating, pipeline, recipe
from annotation.training.network import Encoder
from annotation.training.pipeline import Plan, train_encoder
from annotation.training.run import Epoch

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


def test_weights_stay_as_they_were_if_calibrating_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    def ship(_: Encoder, network: Path, __: Plan) -> float:
        network.write_bytes(b"new")
        return 0.0

    monkeypatch.setattr(pipeline, "_ship", ship)
    monkeypatch.setattr(cases, "kept", lambda *_: None)
    monkeypatch.setattr(calibrating, "calibrate", break_off)
    old = {"tiny.onnx": b"old", "tiny.json": b"of the old"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    plan = Plan(data=tmp_path, out=tmp_path, name="tiny", run=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        pipeline.publish(Encoder(), plan, [])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == old


def test_what_is_not_known_of_an_epoch_is_null() -> None:
    known = Epoch("photo", "warm-up", "", 1, {}, 0.7, math.nan, 1.0)
    [leg] = pipeline._learned([known])
    assert (leg["ranking"], leg["recall_at_1"]) == ([0.7], [None])


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
