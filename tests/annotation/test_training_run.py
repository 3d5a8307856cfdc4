"""The folder of a run keeps what was learned, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

from annotation.training.run import CURVES, Epoch, Run

pytestmark = pytest.mark.torch


def test_a_run_is_not_gone_on_with_by_another_recipe(tmp_path: Path) -> None:
    Run(tmp_path, "seed = 1", resume=False)
    with pytest.raises(FileExistsError):
        Run(tmp_path, "seed = 2", resume=True)


def test_a_new_run_leaves_checkpoints_of_others_alone(tmp_path: Path) -> None:
    others = tmp_path / "ours.pt"
    others.write_bytes(b"not of a run")
    with pytest.raises(FileExistsError, match="something else"):
        Run(tmp_path, "seed = 1", resume=False)
    assert others.exists()


def test_a_run_draws_its_curves(tmp_path: Path) -> None:
    run = Run(tmp_path, "", resume=False)
    for number, stage in enumerate(("warm-up", "fine-tuning"), 1):
        run.tell(Epoch("face", stage, "", number, {"labels": 2.0}, 0.8, 0.1, 1.0))
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
    assert [epoch.stage for epoch in run.epochs()] == ["warm-up", "fine-tuning"]
