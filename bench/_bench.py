"""What every benchmark needs: a clock, quantiles, and where it ran."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
T = TypeVar("T")


def report(name: str, figures: dict[str, Any]) -> None:
    """One JSON line on stdout."""
    print(json.dumps({"benchmark": name, **where(), **figures}))


def where() -> dict[str, Any]:
    """The machine, how busy it is, and the commit; figures mean little without."""
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)),
            "load": round(os.getloadavg()[0], 1),
            "python": platform.python_version(),
        },
        "commit": _git("rev-parse", "--short", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What the work gives, and its wall time in milliseconds."""
    started = time.perf_counter()
    answer = work()
    return answer, (time.perf_counter() - started) * 1_000


def quantiles(milliseconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds."""
    middle, high = np.percentile(milliseconds, [50, 95])
    return {"p50": round(float(middle), 2), "p95": round(float(high), 2)}


def rounded(number: float) -> float:
    """To four digits: no such figure is worth more."""
    return float(f"{number:.4g}")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    answer = subprocess.run(  # noqa: S603 - our own arguments
        ["git", *arguments],  # noqa: S607 - whichever git the caller has
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()
