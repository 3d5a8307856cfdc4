"""The folder of a run keeps what was learned, and nobody else's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs requirements/vlm.txt")

from annotation.training.run import CURVES, Epoch, Run

pytestmark = pytest.mark.torch


def test_a_run_is_not_gone_on_with_by_another_recipe(tmp_path: Path) -> None:
    Run(tmp_path, "seed = 1", resume=False)
    with pytest.raises(FileExistsError, match=r"another recipe\.toml"):
        Run(tmp_path, "seed = 2", resume=True)


def test_a_run_is_not_gone_on_with_from_other_photos(tmp_path: Path) -> None:
    Run(tmp_path, "seed = 1", material={"limit": 8}, resume=False)
    Run(tmp_path, "seed = 1", material={"limit": 8}, resume=True)
    with pytest.raises(FileExistsError, match=r"another material\.json"):
        Run(tmp_path, "seed = 1", material={"limit": None}, resume=True)


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="no run to resume"):
        Run(tmp_path / "tpyo", "seed = 1", resume=True)
    assert not (tmp_path / "tpyo").exists()


def test_a_new_run_throws_no_checkpoint_away(tmp_path: Path) -> None:
    Run(tmp_path, "seed = 1", resume=False).save("face-warm-up", {"done": 1})
    with pytest.raises(FileExistsError, match="go on with --resume"):
        Run(tmp_path, "seed = 1", resume=False)
    assert Run(tmp_path, "seed = 1", resume=True).saved("face-warm-up") == {"done": 1}


def test_an_epoch_that_is_learned_again_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path, "", resume=False)
    first = Epoch("face", "refinement", "supcon", 1, {"labels": 2.0}, 0.8, 0.1, 1.0)
    run.tell(first)
    told = capsys.readouterr().err
    assert "refinement with supcon 1: mean AUC 0.8000, recall@1 0.100" in told
    assert "recall" not in str(replace(first, recall_at_1=math.nan))
    again = Run(tmp_path, "", resume=True)
    again.tell(replace(first, seconds=9.0))
    again.tell(replace(first, metric_loss="triplet"))
    kept = [(epoch.metric_loss, epoch.seconds) for epoch in again.epochs()]
    assert kept == [("supcon", 9.0), ("triplet", 1.0)]


def test_a_run_draws_its_curves(tmp_path: Path) -> None:
    run = Run(tmp_path, "", resume=False)
    for number, stage in enumerate(("warm-up", "fine-tuning"), 1):
        run.tell(Epoch("face", stage, "", number, {"labels": 2.0}, 0.8, 0.1, 1.0))
    assert (tmp_path / CURVES).read_bytes().startswith(b"\x89PNG")
    assert [epoch.stage for epoch in run.epochs()] == ["warm-up", "fine-tuning"]
