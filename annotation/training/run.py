"""The folder of one run of training: what it is of, every epoch, curves, checkpoints.

No checkpoint is ever thrown away: who begins anew takes or makes an empty folder.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import torch

from annotation.training.curves import draw

RECIPE: Final = "recipe.toml"
MATERIAL: Final = "material.json"
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

    KEY: ClassVar = ("branch", "stage", "metric_loss", "number")

    def __str__(self) -> str:
        loss = f" with {self.metric_loss}" if self.metric_loss else ""
        told = f"mean AUC {self.ranking:.4f}"
        if not math.isnan(self.recall_at_1):
            told += f", recall@1 {self.recall_at_1:.3f}"
        place = f"{self.branch} {self.stage}{loss} {self.number}"
        return f"{place}: {told} on photos kept back"


class Run:
    """Written as training goes, so that a killed run can be looked at and go on."""

    def __init__(
        self, folder: Path, recipe: str, *, material: Any = None, resume: bool
    ) -> None:
        """Begin, or go on, with this recipe's text and what is learned from.

        Raises FileExistsError where checkpoints would be lost, or gone on with by
        another recipe or from other `material` (JSON).
        """
        self.folder = folder
        self.resume = resume
        begun = {RECIPE: recipe, MATERIAL: json.dumps(material, indent=1)}
        if resume:
            self._check(begun)
        elif any(folder.glob("*.pt")):
            raise FileExistsError(
                f"{folder} holds checkpoints: go on with --resume, or remove it first"
            )
        else:
            (folder / EPOCHS).unlink(missing_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in begun.items():
            (folder / name).write_text(text)

    def _check(self, begun: dict[str, str]) -> None:
        """Whether a run of just this was begun."""
        for name, text in begun.items():
            kept = self.folder / name
            if not kept.exists():
                raise FileExistsError(f"{self.folder} has no {name}: no run to resume")
            if kept.read_text() != text:
                raise FileExistsError(f"{self.folder} was begun with another {name}")

    def tell(self, epoch: Epoch) -> None:
        """Keep an epoch's figures, in the place of its own if it was told before.

        A run that was killed between this and the checkpoint learns the epoch again.
        """
        told = [one for one in self.epochs() if _key(one) != _key(epoch)]
        text = "".join(json.dumps(asdict(one)) + "\n" for one in [*told, epoch])
        part = self.folder / f"{EPOCHS}.part"
        part.write_text(text)
        part.replace(self.folder / EPOCHS)
        draw(panels(self.epochs()), self.folder / CURVES)
        print(epoch, file=sys.stderr, flush=True)  # noqa: T201 - narration

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
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


def _key(epoch: Epoch) -> tuple[Any, ...]:
    return tuple(getattr(epoch, name) for name in Epoch.KEY)


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
