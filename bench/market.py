"""./run bench market: what each ranking stage is worth to people on both sides.

A simulated market of people drawn around real readings, whose tastes are known, is in
use for some days, once with each way of ranking. Writes nothing to the database.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np

from bench._bench import report, rounded
from bench._market.arms import ALL, ONE_SIDED, RECIPROCITY, arms
from bench._market.days import replay
from bench._market.figures import figures
from bench._market.learned import cold_priors, learned_priors
from bench._market.population import Assumptions, Market, draw
from bench._market.readings import Crowd
from matching.management.commands.seedpeople import cache_folder
from matching.ranking.stages import Weights
from matching.seeding.sources import real_pairs
from twinby.progress import Progress

PRIORS = {"learned": learned_priors, "cold": cold_priors}
# The product's own. Likes are absolute here, and everybody can expect 1.2 a day on
# average: so the cap is 0.4 times that.
USED = Weights(exposure_cap=0.5)
THREADS = "OPENBLAS_NUM_THREADS"
FEWEST = {"people": 40, "days": 2, "seeds": 1}
RATIOS = (
    ("success_at_10", RECIPROCITY, ONE_SIDED),
    ("success_at_10", ALL, ONE_SIDED),
    ("exposure_gini", ALL, ONE_SIDED),
    ("exposure_gini", ALL, RECIPROCITY),
    ("matches_per_person", ALL, ONE_SIDED),
    ("matches_per_person", ALL, RECIPROCITY),
    ("matches_if_all_answered", ALL, ONE_SIDED),
    ("matches_if_all_answered", ALL, RECIPROCITY),
)
Figures = dict[str, float]


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every arm, over the seeds, and what the stages change."""
    compared = arms(options.weights)
    crowd = Crowd(real_pairs(cache_folder()))
    progress = Progress("Replaying", options.seeds * len(compared))
    runs: dict[str, list[Figures]] = {name: [] for name in compared}
    for seed in range(options.seeds):
        market = drawn(crowd, options, seed)
        priors = PRIORS[options.prior](market)
        for name, ranked_by in compared.items():
            runs[name].append(figures(market, replay(market, priors, ranked_by)))
            progress.step()
    progress.finish()
    return {
        **{name: getattr(options, name) for name in (*FEWEST, "prior")},
        "source": crowd.source,
        "assumptions": asdict(options.assume),
        "weights": asdict(options.weights),
        "arms": {name: summary(found) for name, found in runs.items()},
        "ratios": dict(ratios(runs)),
    }


def drawn(crowd: Crowd, options: argparse.Namespace, seed: int) -> Market:
    """The market of a seed: the same, whatever is compared in it."""
    rng = np.random.default_rng(seed)
    features, genders = crowd.draw(options.people, rng)
    return draw(
        features, genders, days=options.days, assumptions=options.assume, rng=rng
    )


def ratios(
    runs: dict[str, list[Figures]],
) -> Iterator[tuple[str, dict[str, float] | None]]:
    """What is asked of the ranking, as ratios within each seed; None to nothing."""
    for name, one, other in RATIOS:
        above, below = ([found[name] for found in runs[arm]] for arm in (one, other))
        within = [a / b for a, b in zip(above, below, strict=True) if b]
        is_whole = len(within) == len(below)
        yield f"{name}: {one} / {other}", spread(within) if is_whole else None


def summary(found: list[Figures]) -> dict[str, dict[str, float]]:
    """Of every figure the spread over the seeds."""
    return {name: spread([one[name] for one in found]) for name in found[0]}


def spread(values: list[float]) -> dict[str, float]:
    """Mean, lowest and highest of n seeds.

    The median of all seeds lies between the two with probability 1 - 2 / 2^n.
    """
    ends = {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
    return {name: rounded(value) for name, value in ends.items()}


def changed(kind: type[Any]) -> Callable[[str], tuple[str, float]]:
    """Reads "name=number" for a numeric field of a dataclass."""
    names = {f.name for f in fields(kind)}

    def setting(text: str) -> tuple[str, float]:
        name, _, number = text.partition("=")
        if name not in names:
            raise argparse.ArgumentTypeError(
                f"{name} is none of {', '.join(sorted(names))}"
            )
        value = float(number)
        return name, int(value) if value.is_integer() else value

    return setting


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run bench market")
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--prior", choices=sorted(PRIORS), default="learned")
    for name, kind in (("--weights", Weights), ("--assume", Assumptions)):
        parser.add_argument(
            name, nargs="+", type=changed(kind), default=[], metavar="NAME=NUMBER"
        )
    options = parser.parse_args()
    for name, least in FEWEST.items():
        if getattr(options, name) < least:
            parser.error(f"--{name} must be at least {least}")
    try:
        options.weights = replace(USED, **dict(options.weights))
        options.assume = replace(Assumptions(), **dict(options.assume))
    except ValueError as problem:
        parser.error(str(problem))
    return options


def main() -> None:
    options = parsed()
    report("market", measure(options))


if __name__ == "__main__":
    if THREADS not in os.environ:
        # Many small systems are solved: threads would only wait for each other, ten
        # times as long as one works. Numpy is told when it starts, and has started.
        os.environ[THREADS] = "1"
        os.execv(sys.executable, [sys.executable, "-m", "bench.market", *sys.argv[1:]])  # noqa: S606
    main()
