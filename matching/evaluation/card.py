"""The measured part of a model card, written from an evaluation's figures and no other.

Nothing is measured here, and every number of the tables is in the JSON that `manage
evaluate` prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from annotation.small.heads import SPREAD
from matching.evaluation.measuring import Figures
from matching.evaluation.tables import NOTHING, interval, number, table

BEGIN: Final = "<!-- measured: written by manage evaluate, do not edit -->"
END: Final = "<!-- end of measured -->"
SECTIONS: Final = {
    "faces": "Faces",
    "clothes": "Garments and patterns",
    "accessories": "Accessories",
}
DATA_SETS: Final = {"ccp": "Clothing Co-Parsing", "stanford": "Stanford Clothing"}
PARTS: Final = ("attributes", "embedding", "both")
METHODS: Final = {"plain": "plain formula", "posterior": "posterior"}
RETRIEVAL: Final = (
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    "map_at_r",
    "silhouette",
)
BASELINES: Final = {
    "annotator": "the annotator's features",
    "pixels": "32 x 32 grey pixels",
    "random": "random directions",
}
# Of the weights, where they are our own.
FACTS: Final = ("parameters", "bytes", "start", "seed")


class CardError(Exception):
    """A card cannot be brought up to date; the message says why."""


def refresh(card: Path, figures: Figures) -> None:
    """Replace the measured part of the card; CardError if it has no such part."""
    text = card.read_text()
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise CardError(f"{card} has no part between {BEGIN} and {END}.")
    card.write_text(f"{before}{measured(figures)}{after}")


def measured(figures: Figures) -> str:
    """Markdown from the first marker to the last."""
    parts = [
        BEGIN,
        table(("figure", "value"), _summary(figures)),
        *_attributes(figures),
        *_groups(figures["attributes"]["groups"]),
        *_embedding(figures["embedding"]),
        *_taste(figures["taste"]),
    ]
    if figures["training"]:
        spread = table(("attribute", "label", "values and shares"), _spread())
        parts += ["### What a label can mean", spread]
        parts += _learned(figures["training"].get("learned", []))
    return "\n\n".join([*parts, END])


def _summary(figures: Figures) -> Iterator[tuple[str, str]]:
    photos, facts = figures["photos"], figures["training"] or {}
    failed = sum(photos["failed"].values())
    yield "annotator", f"`{figures['annotator']}`"
    for name in FACTS:
        if name in facts:
            fact = facts[name]
            yield name, f"{fact:,}" if isinstance(fact, int) else fact
    yield (
        "photos measured, unaligned, for thresholds, rated, failed",
        f"{photos['measured']:,}, {photos['unaligned']:,}, "
        f"{photos['for_thresholds']:,}, {photos['rated']:,}, {failed:,}",
    )
    for name, section in _sections(figures):
        means = section["means"]
        yield f"{name}: mean AUC", interval(means["auc"])
        yield f"{name}: balanced accuracy", interval(means["balanced_accuracy"])
    unaligned = figures["unaligned"]
    if unaligned["means"]:
        yield "Faces, unaligned: mean AUC", interval(unaligned["means"]["auc"])
        seen = interval(unaligned["visible"])
        yield "Faces, unaligned: facial attributes visible", seen
    hidden = figures["attributes"]["lower_halves_not_visible"]
    if hidden:
        yield "lower halves: facial attributes not visible", interval(hidden)


def _sections(figures: Figures) -> Iterator[tuple[str, Figures]]:
    """The sections in which anything was measured, by their titles."""
    for name, title in (SECTIONS | DATA_SETS).items():
        section = figures["attributes"][name]
        if section["means"]:
            yield title, section


def _attributes(figures: Figures) -> Iterator[str]:
    cross_fitted = (figures["training"] or {}).get("cross_fitted") or {}
    yield _about_calibration(cross_fitted)
    for name, title in SECTIONS.items():
        section = figures["attributes"][name]
        if section["means"]:
            errors = (cross_fitted.get(name) or {}).get("labels", {})
            yield f"### {title}: mean AUC {section['means']['auc']['value']:.3f}"
            yield _scores(section, errors)


def _about_calibration(cross_fitted: Mapping[str, Any]) -> str:
    if not cross_fitted:
        return "The ECE is measured on the photos that the other figures are of."
    errors = ", ".join(
        f"{title.lower()} {cross_fitted[name]['calibrated']:.3f} "
        f"(uncalibrated {cross_fitted[name]['raw']:.3f})"
        for name, title in SECTIONS.items()
        if cross_fitted.get(name)
    )
    return (
        "The annotator was calibrated to the very photos that the other figures are "
        "of. Its ECE in the tables is therefore of training, where each half of these "
        "photos was read with a calibration fitted to the other; the means of it: "
        f"{errors}."
    )


def _scores(section: Figures, cross_fitted: Mapping[str, Any]) -> str:
    head = "label, values, positives, AUC, AP, base rate, balanced accuracy, accuracy"
    return table(
        (*head.split(", "), "majority's", "ECE"),
        (
            (
                one["label"],
                one["means"],
                str(one["positives"]),
                interval(one["auc"]),
                number(one["average_precision"]["value"]),
                number(one["base"]),
                number(one["balanced_accuracy"]["value"]),
                number(one["accuracy"]),
                number(one["majority_accuracy"]),
                number(
                    cross_fitted[one["label"]]["calibrated"]
                    if one["label"] in cross_fitted
                    else one["calibration_error"]
                ),
            )
            for one in section["labels"]
        ),
    )


def _groups(groups: Figures) -> Iterator[str]:
    parts = groups["groups"]
    if not groups["compared"]:
        return
    yield "### Groups of people"
    yield (
        f"Means over the {len(groups['compared'])} labels that every group has enough "
        "of, by the same thresholds for all; the ECE is of the annotator as it is."
    )
    yield table(
        ("group", "AUC", "balanced accuracy", "AP", "base rate", "ECE"),
        ((name, *_group(part["means"])) for name, part in parts.items()),
    )
    yield "AUC by label, of the groups that have ten of each kind:"
    aucs = {
        name: {one["label"]: one["auc"]["value"] for one in part["labels"]}
        for name, part in parts.items()
    }
    labels = next(iter(aucs.values()))
    yield table(
        ("label", *aucs),
        (
            (label, *(number(own.get(label)) for own in aucs.values()))
            for label in labels
        ),
    )
    yield _below(groups["below"])


def _group(means: Figures) -> Iterator[str]:
    yield interval(means["auc"])
    yield interval(means["balanced_accuracy"])
    yield number(means["average_precision"]["value"])
    yield number(means["base"])
    yield number(means["calibration_error"])


def _below(below: list[Figures]) -> str:
    if not below:
        return (
            "No AUC within a group, of a label or of all, is more than 5 points below "
            "everybody's."
        )
    told = "; ".join(
        f"{one['label']} for {one['group']} {one['auc']:.3f} instead of "
        f"{one['everybody']:.3f}"
        for one in below
    )
    return f"**More than 5 points of AUC below everybody's:** {told}."


def _embedding(embedding: Figures | None) -> Iterator[str]:
    if embedding is None:
        return
    yield "### Embedding, by identity"
    yield (
        f"{embedding['photos']:,} photos of {embedding['people']:,} people of whom "
        f"training has seen nobody, looked for among {embedding['looked_through']:,}; "
        f"projection: {embedding['projection']}. Intervals are over people."
    )
    yield table(
        ("", "recall@1", "recall@5", "recall@10", "MAP@R", "silhouette"),
        (
            (title, *(interval(embedding[name][figure]) for figure in RETRIEVAL))
            for name, title in BASELINES.items()
        ),
    )


def _taste(taste: Figures | None) -> Iterator[str]:
    if taste is None:
        return
    yield "### Taste"
    yield (
        f"{taste['raters']:,} raters of the London set. Liked are the top 30 % of a "
        "rater's ratings within the gender they prefer, disliked the bottom 30 %; five "
        "of each are known, the others of both are ranked, half of which are liked. "
        "Intervals are over raters."
    )
    yield table(("ranked by", "on", "AUC", "P@10"), _taste_rows(taste))


def _taste_rows(taste: Figures) -> Iterator[tuple[str, ...]]:
    for name, title in (("random", "chance"), ("others_average", "others' average")):
        yield title, "", *_both(taste[name])
    for method, title in METHODS.items():
        for part in PARTS:
            if part in taste[method]:
                yield title, part, *_both(taste[method][part])


def _both(figures: Figures) -> tuple[str, str]:
    return interval(figures["auc"]), interval(figures["precision_at_10"])


def _learned(stages: list[Figures]) -> Iterator[str]:
    if not stages:
        return
    yield "### How it was learned"
    yield (
        "By one view alone, on the photos kept back, after the last epoch of a stage: "
        "mean AUC of all its heads' classes, recall@1 of features before whitening."
    )
    yield table(
        ("view", "stage", "metric loss", "epochs", "mean AUC", "recall@1"),
        (
            (
                *(one[name] or NOTHING for name in ("branch", "stage", "metric_loss")),
                str(len(one["ranking"])),
                *(
                    number(one[name][-1], places=4)
                    for name in ("ranking", "recall_at_1")
                ),
            )
            for one in stages
        ),
    )


def _spread() -> Iterator[tuple[str, str, str]]:
    for attribute, labels in SPREAD.items():
        for label, shares in labels.items():
            if shares != {label: 1} or label == "brown":
                values = ", ".join(
                    f"{value} {share:g}" for value, share in shares.items()
                )
                yield attribute, label, values
