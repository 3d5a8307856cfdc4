"""From the data folder to weights that the embedded annotator can be given."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import cv2
import torch

from annotation.evaluation import cases, sources
from annotation.training import calibrating, fit, recipe, views
from annotation.training.export import (
    ExportError,
    answers,
    export,
    folded,
    quantise,
)
from annotation.training.network import Encoder
from annotation.training.run import Epoch, Run


@dataclass(frozen=True)
class DataSet:
    """What was learned from, and what its owners allow."""

    name: str
    terms: str
    citation: str


DATA_SETS: Final = (
    DataSet(
        "ImageNet (weights of EfficientNet-Lite0, from which training starts)",
        "weights and their package under Apache-2.0; photos for research only",
        "Tan & Le, EfficientNet, ICML 2019; Russakovsky et al., IJCV 2015",
    ),
    DataSet(
        "CelebA (18,023 aligned faces)",
        "non-commercial research only",
        "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015",
    ),
    DataSet(
        "Clothing Co-Parsing (1,386 street photos)",
        "repository under Apache-2.0; rights in the photos unclear",
        "Yang et al., Clothing Co-Parsing by Joint Image Segmentation, CVPR 2014",
    ),
    DataSet(
        "Stanford Clothing Attributes (1,274 photos)",
        "research use, cite",
        "Chen et al., Describing Clothing by Semantic Attributes, ECCV 2012",
    ),
)


# Training photos of each data set that say how far the maps reach.
QUANTISING_PHOTOS: Final = 64
# What rounding to 8 bits must leave: the mean cosine of embeddings before and after.
LEAST_COSINE: Final = 0.97
LEG: Final = attrgetter("branch", "stage", "metric_loss")


@dataclass(frozen=True)
class Plan:
    """What to train from, where to, and how. `limit`: photos per data set."""

    data: Path
    out: Path
    name: str
    run: Path
    recipe: Path = recipe.DEFAULT
    resume: bool = False
    limit: int | None = None


def train_encoder(plan: Plan) -> dict[str, Any]:
    """Train, export, calibrate and measure; writes NAME.onnx and NAME.json to `out`.

    Returns the metadata that was written. With the same recipe, data and machine the
    weights are the same on a CPU. Raises RecipeError, PretrainedError, ExportError,
    and OSError where data are missing or the run's folder holds another run.
    """
    started = time.monotonic()
    how = recipe.read(plan.recipe)
    material = {"limit": plan.limit, "bytes": sources.sizes(plan.data)}
    text = plan.recipe.read_text()
    run = Run(plan.run, text, material=material, resume=plan.resume)
    cv2.setNumThreads(1)  # its threads and torch's would take each other's cores
    _say("reading the data, finding faces in street photos")
    faces, photos = views.load(plan.data, seed=how.seed, limit=plan.limit)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoder = fit.train(faces, photos, how, run, device)
    del faces, photos
    metadata = publish(encoder, plan, run.epochs())
    _say(f"done after {(time.monotonic() - started) / 60:.0f} minutes")
    return metadata


def publish(encoder: Encoder, plan: Plan, told: Sequence[Epoch]) -> dict[str, Any]:
    """Export a trained encoder, with its calibration and how it learned beside it.

    Both files are made aside: whatever breaks, those in `out` stay as they were.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=plan.out) as aside:
        network = Path(aside) / f"{plan.name}.onnx"
        _say("rounding to 8 bits")
        difference = _ship(encoder, network, plan)
        _say("calibrating on the photos kept from training")
        kept = cases.kept(plan.data, plan.limit)
        readout, cross_fitted = calibrating.calibrate(network, kept)
        metadata = _about(plan, network, encoder) | {
            "learned": _learned(told),
            "export_difference": difference,
            "calibration": readout.as_json(),
            "cross_fitted": cross_fitted,
        }
        about = network.with_suffix(".json")
        about.write_text(json.dumps(metadata, indent=1) + "\n")
        for file in (network, about):
            file.replace(plan.out / file.name)
    return metadata


def _ship(encoder: Encoder, network: Path, plan: Plan) -> float:
    """Export, check, round; the difference of the export before it was rounded."""
    few = min(plan.limit or QUANTISING_PHOTOS, QUANTISING_PHOTOS)
    views = calibrating.looks(cases.taught(plan.data, few).photos)
    exact = network.with_suffix(".exact.onnx")
    difference = export(folded(encoder), exact)
    quantise(exact, network, views.faces, views.photos)
    before, after = (
        answers(file, views.faces, views.photos)[1] for file in (exact, network)
    )
    cosine = float((before * after).sum(1).mean())
    if cosine < LEAST_COSINE:
        raise ExportError(f"rounding moved the embeddings: mean cosine {cosine:.3f}")
    return difference


def _about(plan: Plan, network: Path, encoder: Encoder) -> dict[str, Any]:
    how = recipe.read(plan.recipe)
    return {
        "model": plan.name,
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
        "bytes": network.stat().st_size,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "research_data": True,
        "data_sets": [asdict(data_set) for data_set in DATA_SETS],
        "recipe": recipe.digest(plan.recipe),
        "seed": how.seed,
        "start": how.start,
    }


def _learned(told: Sequence[Epoch]) -> list[dict[str, Any]]:
    """Of every stage, by each metric loss tried: what its epochs came to, as JSON."""
    return [
        {
            "branch": branch,
            "stage": stage,
            "metric_loss": metric_loss,
            "ranking": [_known(one.ranking) for one in epochs],
            "recall_at_1": [_known(one.recall_at_1) for one in epochs],
        }
        for (branch, stage, metric_loss), leg in groupby(told, LEG)
        for epochs in [list(leg)]
    ]


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - narration, never a result
