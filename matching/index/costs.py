"""Which way to the nearest is the cheapest, and how far it goes. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

# To find the nearest r of n, this power of r/n is the share of lists that is read.
READ_POWER = 0.2
# Microseconds: to read the row of somebody who passes, or an entry of an index with
# their sketch, or a sketch in a list, and to fetch the row behind a sketch. Only their
# ratios count.
ROW_COST, ENTRY_COST, SKETCH_COST, FETCH_COST = 3.0, 1.0, 0.5, 5.0


@dataclass(frozen=True)
class Estimate:
    """About how many `people` some `lists` hold, and how many of them pass.

    So many `entries` of an index by what they declare are to be read for all of these
    sketches; by default there is no index that has everything that is asked.
    """

    people: float
    passing: float
    lists: int
    entries: float = math.inf

    def probes(self, fetched: int, rank: float, excluded: int = 0) -> int | None:
        """How many lists to read, so that the nearest `rank` are among the `fetched`.

        0 where it is cheaper to look at the sketches of all who pass, None where it is
        to read their rows. So many are told to be `excluded`.
        """
        passing = max(self.passing, 1)
        if fetched + excluded >= passing:
            return None
        share = math.pow(min(rank / passing, 1), READ_POWER)
        fetched_in_lists = (fetched + excluded) * self.people / passing
        by_lists = share * self.people * SKETCH_COST + fetched_in_lists * FETCH_COST
        by_sketches = self.entries * ENTRY_COST + fetched * FETCH_COST
        if min(by_lists, by_sketches) >= passing * ROW_COST:
            return None
        return 0 if by_sketches < by_lists else math.ceil(share * self.lists)
