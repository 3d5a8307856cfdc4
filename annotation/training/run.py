"""The folder of one run of training: its recipe, every epoch, curves, checkpoints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch

EPOCHS: Final = "epochs.jsonl"
CURVES: Final = "curves.png"


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to. `losses`: means by part; `ranking`: mean AUC of the
    classes, `recall_at_1`: of identity, both on photos kept from training."""

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
        """Raises FileExistsError where another recipe's run would be gone on with."""
        self.folder = folder
        self.resume = resume
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = folder / "recipe.toml"
        if resume and kept.exists() and kept.read_text() != recipe:
            raise FileExistsError(f"{folder} was begun with another recipe")
        kept.write_text(recipe)
        if not resume:
            (folder / EPOCHS).unlink(missing_ok=True)
            for old in folder.glob("*.pt"):
                old.unlink()

    def tell(self, epoch: Epoch) -> None:
        """Keep an epoch's figures and redraw the curves."""
        with (self.folder / EPOCHS).open("a") as lines:
            lines.write(json.dumps(asdict(epoch)) + "\n")
        draw(self.epochs(), self.folder / CURVES)

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


def draw(epochs: Sequence[Epoch], path: Path) -> None:
    """Losses and validation of every branch, epoch by epoch, as a PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    branches = list(dict.fromkeys(epoch.branch for epoch in epochs))
    figure, axes = pyplot.subplots(
        2, len(branches), figsize=(6 * len(branches), 7), squeeze=False, sharex="col"
    )
    for column, branch in enumerate(branches):
        own = [epoch for epoch in epochs if epoch.branch == branch]
        _plot_losses(axes[0][column], own)
        _plot_validation(axes[1][column], own)
        axes[0][column].set_title(branch)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _plot_losses(axis: Any, epochs: list[Epoch]) -> None:
    numbers = range(1, len(epochs) + 1)
    for part in epochs[0].losses:
        axis.plot(numbers, [e.losses.get(part) for e in epochs], "o-", label=part)
    axis.set_ylabel("loss")
    axis.legend()


def _plot_validation(axis: Any, epochs: list[Epoch]) -> None:
    numbers = list(range(1, len(epochs) + 1))
    for part in ("ranking", "recall_at_1"):
        values = [getattr(epoch, part) for epoch in epochs]
        axis.plot(numbers, values, "o-", label=part.replace("_", " "))
    steps = [f"{e.stage} {e.metric_loss} {e.number}".strip() for e in epochs]
    axis.set_xticks(numbers, steps, rotation=60, ha="right", fontsize=7)
    axis.set_ylabel("on photos kept back")
    axis.legend()
