"""The ways of ranking that are compared: each stage beside reciprocity, and all."""

from __future__ import annotations

from dataclasses import fields, replace

from matching.ranking.stages import STAGES, Weights

ONE_SIDED = "one_sided"
RECIPROCITY = "reciprocity"
ALL = "all"


def arms(weights: Weights) -> dict[str, Weights]:
    """By name; each with the strengths of `weights` where it has a stage at all."""
    others = [
        stage
        for stage in STAGES
        if stage != RECIPROCITY and getattr(weights, stage) > 0
    ]
    return {
        ONE_SIDED: only(weights),
        RECIPROCITY: only(weights, RECIPROCITY),
        **{f"+{stage}": only(weights, RECIPROCITY, stage) for stage in others},
        ALL: weights,
    }


def only(weights: Weights, *stages: str) -> Weights:
    """The same without the other stages."""
    off = {f.name: 0.0 for f in fields(weights) if f.name in {*STAGES} - {*stages}}
    return replace(weights, **off)
