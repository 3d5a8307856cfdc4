"""Pages of a ranking that is too long to be ranked at once. Pure.

The index gives candidates in the order of the preference alone. They are ranked in
blocks: whoever is in a block comes before everybody in the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from matching.ranking.base import Ranked

# Candidates that are ranked together: what a stage can move somebody by.
BLOCK = 100

Position = TypeVar("Position")


@dataclass(frozen=True)
class Start(Generic[Position]):
    """Where a page begins: `offset` people into the block that follows `after`.

    `after` is the index's position of the last candidate of the block before; None is
    the beginning.
    """

    after: Position | None = None
    offset: int = 0


@dataclass(frozen=True)
class Block(Generic[Position]):
    """Candidates ranked together; `last` is the index's position of the last of them.

    None if nobody follows.
    """

    ranked: Sequence[Ranked]
    last: Position | None


def page(
    start: Start[Position],
    *,
    limit: int,
    block_after: Callable[[Position | None], Block[Position]],
) -> tuple[list[Ranked], Start[Position] | None]:
    """The next `limit` people, fewer only at the end, and where the next page is."""
    shown: list[Ranked] = []
    while True:
        block = block_after(start.after)
        until = start.offset + limit - len(shown)
        shown += block.ranked[start.offset : until]
        if until < len(block.ranked):
            return shown, Start(start.after, until)
        if block.last is None:
            return shown, None
        start = Start(block.last)
        if len(shown) == limit:
            return shown, start
