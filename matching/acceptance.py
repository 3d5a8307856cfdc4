"""May an annotator's version follow the one in use? By what was kept of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matching.models import Evaluation
from twinby.errors import InvalidError

# How many photos the figures are of: others are of other photos.
MATERIAL = ("measured", "for_thresholds", "rated")


def keep(report: Mapping[str, Any]) -> Evaluation:
    """Keep what `manage evaluate` has said, in place of what was kept of this version.

    Raises InvalidError if it is anything else.
    """
    try:
        annotator = str(report["annotator"])
        headlines = {name: float(v) for name, v in report["headlines"].items()}
        photos = {name: int(report["photos"][name]) for name in MATERIAL}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InvalidError("This is no report of manage evaluate.") from None
    kept, _ = Evaluation.objects.update_or_create(
        annotator=annotator, defaults={"headlines": headlines, "photos": photos}
    )
    return kept


def shortcomings(annotator: str, rival: str) -> str:
    """Why this version should not follow `rival`; "" if it may, or nobody knows."""
    kept = {row.annotator: row for row in Evaluation.objects.all()}
    if annotator == rival or not {annotator, rival} <= kept.keys():
        return ""
    new, old = kept[annotator], kept[rival]
    if new.photos != old.photos:
        return f"it was measured on other photos than {rival}: evaluate both alike"
    worse = [
        f"{name} {new.headlines.get(name, 0.0):.4f} instead of {before:.4f}"
        for name, before in sorted(old.headlines.items())
        if new.headlines.get(name, 0.0) < before
    ]
    return f"it is worse than {rival}: {', '.join(worse)}" if worse else ""
