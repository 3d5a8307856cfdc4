"""Curves of a run of training, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no screen is needed

from matplotlib import pyplot

# title -> line -> one value per epoch.
Panels = Mapping[str, Mapping[str, Sequence[float]]]


def draw(panels: Panels, path: Path) -> None:
    """One panel beside another, epochs from 1; values that are nan leave gaps."""
    figure, axes = pyplot.subplots(
        1, len(panels), figsize=(5 * len(panels), 4), squeeze=False
    )
    for axis, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, values in lines.items():
            axis.plot(range(1, len(values) + 1), values, "o-", label=name)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
