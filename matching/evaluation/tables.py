"""Figures as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

NOTHING: Final = "-"


def interval(figure: Mapping[str, float | None]) -> str:
    """As "0.947 (0.945 to 0.950)", of an estimate's `value`, `low` and `high`."""
    low, high = number(figure["low"]), number(figure["high"])
    return f"{number(figure['value'])} ({low} to {high})"


def number(value: float | None, places: int = 3) -> str:
    """Rounded; a dash for what is not known."""
    return NOTHING if value is None else f"{value:.{places}f}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A head, a rule, and a line for each row."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
