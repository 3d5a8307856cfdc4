"""The measured part of docs/model-card.md, written from the metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from annotation.small.heads import SPREAD

BEGIN: Final = "<!-- measured: written by trainencoder, do not edit -->"
END: Final = "<!-- end of measured -->"
SCORE_COLUMNS: Final = (
    "label",
    "values",
    "positives",
    "AUC",
    "AP",
    "base rate",
    "balanced accuracy",
    "ECE raw",
    "ECE",
)


def refresh(card: Path, metadata: dict[str, Any]) -> None:
    """Replace the measured part of the card. ValueError if it has no such part."""
    text = card.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{card} has no measured part")
    card.write_text(f"{before}{measured(metadata)}{after}")


def measured(metadata: dict[str, Any]) -> str:
    """Markdown from the first marker to the last."""
    metrics = metadata["metrics"]
    parts = [
        BEGIN,
        _summary(metadata, metrics),
        f"### Faces: mean AUC {metrics['mean_faces_auc']:.3f}",
        _scores(metrics["faces"]),
        f"### Clothes: mean AUC {metrics['mean_clothes_auc']:.3f}",
        _scores(metrics["clothes"]),
        "### What a label can mean",
        _table(("attribute", "label", "values and shares"), _spread()),
        END,
    ]
    return "\n\n".join(parts)


def _summary(metadata: dict[str, Any], metrics: dict[str, Any]) -> str:
    taste, groups = metrics["taste"], metrics["groups"]
    rows = (
        ("parameters", f"{metadata['parameters']:,}"),
        ("file", f"{metadata['bytes'] / 1e6:.1f} MB"),
        ("epochs, seed", f"{metadata['epochs']}, {metadata['seed']}"),
        ("faces: balanced accuracy", f"{metrics['mean_faces_balanced_accuracy']:.3f}"),
        (
            "clothes: balanced accuracy",
            f"{metrics['mean_clothes_balanced_accuracy']:.3f}",
        ),
        ("faces: calibration error", _before_after(metrics, "faces")),
        ("clothes: calibration error", _before_after(metrics, "clothes")),
        *((f"mean AUC, {name}", f"{value:.3f}") for name, value in groups.items()),
        (
            "lower halves: facial attributes not visible",
            f"{metrics['lower_halves_unseen']:.1%}",
        ),
        (
            "identity recall@1 (grey pixels)",
            f"{metrics['identity_recall_at_1']:.3f} "
            f"({metrics['identity_recall_at_1_of_pixels']:.3f})",
        ),
        (
            f"taste, AUC over {taste['raters']:.0f} raters",
            f"{taste['formula']:.3f} by 5 liked and 5 disliked; "
            f"{taste['others_average']:.3f} by others' average; 0.5 by chance",
        ),
    )
    return _table(("figure", "value"), rows)


def _before_after(metrics: dict[str, Any], part: str) -> str:
    raw = metrics[f"mean_{part}_calibration_error_raw"]
    return f"{raw:.3f} raw, {metrics[f'mean_{part}_calibration_error']:.3f} calibrated"


def _scores(scores: list[dict[str, Any]]) -> str:
    return _table(
        SCORE_COLUMNS,
        (
            (
                score["label"],
                score["means"],
                str(score["positives"]),
                f"{score['auc']:.3f}",
                f"{score['average_precision']:.3f}",
                f"{score['base']:.3f}",
                f"{score['balanced_accuracy']:.3f}",
                f"{score['calibration_error_raw']:.3f}",
                f"{score['calibration_error']:.3f}",
            )
            for score in scores
        ),
    )


def _spread() -> Iterator[tuple[str, str, str]]:
    for attribute, table in SPREAD.items():
        for label, shares in table.items():
            if shares != {label: 1} or label == "brown":
                values = ", ".join(
                    f"{value} {share:g}" for value, share in shares.items()
                )
                yield attribute, label, values


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
