"""The folder of one run of training: its recipe, every epoch, curves, checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

from annotation.training.curves import draw

EPOCHS: Final = "epochs.jsonl"
CURVES: Final = "curves.png"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `losses` are means by part.

    On photos kept from training: `ranking`, the mean AUC of all classes, and
    `recall_at_1` by identity.
    """

    branch: str
    stage: str
    metric_loss: str
    number: int
    losses: dict[str, float]
    ranking: float
    recall_at_1: float
    seconds: float


class Run:
    """Written as training goes, so that a killed run can be looked at and go on."""

    def __init__(self, folder: Path, recipe: str, *, resume: bool) -> None:
        """Begin, or go on.

        Raises FileExistsError where another recipe's run would be gone on with, or
        checkpoints that no run has left there would be lost.
        """
        self.folder = folder
        self.resume = resume
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = folder / "recipe.toml"
        if resume and kept.exists() and kept.read_text() != recipe:
            raise FileExistsError(f"{folder} was begun with another recipe")
        if not kept.exists() and any(folder.glob("*.pt")):
            raise FileExistsError(f"{folder} holds checkpoints of something else")
        kept.write_text(recipe)
        if not resume:
            (folder / EPOCHS).unlink(missing_ok=True)
            for old in folder.glob("*.pt"):
                old.unlink()

    def tell(self, epoch: Epoch) -> None:
        """Keep an epoch's figures and redraw the curves."""
        with (self.folder / EPOCHS).open("a") as lines:
            lines.write(json.dumps(asdict(epoch)) + "\n")
        draw(panels(self.epochs()), self.folder / CURVES)

    def epochs(self) -> list[Epoch]:
        """All that were told, in order."""
        file = self.folder / EPOCHS
        lines = file.read_text().splitlines() if file.exists() else []
        return [Epoch(**json.loads(line)) for line in lines]

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Keep a checkpoint, never half of one."""
        part = self.folder / f"{name}.part"
        torch.save(state, part)
        part.replace(self.folder / f"{name}.pt")

    def saved(self, name: str) -> dict[str, Any] | None:
        """The checkpoint of this name, if this run goes on and has one."""
        path = self.folder / f"{name}.pt"
        if not self.resume or not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, weights_only=True)
        return state


def panels(epochs: Sequence[Epoch]) -> dict[str, dict[str, list[float]]]:
    """Losses and validation of each branch, through all its stages."""
    found: dict[str, dict[str, list[float]]] = {}
    for branch in dict.fromkeys(epoch.branch for epoch in epochs):
        own = [epoch for epoch in epochs if epoch.branch == branch]
        parts = dict.fromkeys(part for epoch in own for part in epoch.losses)
        found[f"{branch}: loss"] = {
            part: [epoch.losses.get(part, math.nan) for epoch in own] for part in parts
        }
        found[f"{branch}: on photos kept back"] = {
            "mean AUC": [epoch.ranking for epoch in own],
            "recall@1": [epoch.recall_at_1 for epoch in own],
        }
    return found
