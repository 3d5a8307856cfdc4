"""From the data folder to weights that the embedded annotator can be given."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2

from annotation.evaluation import cases
from annotation.training import calibrating, fit, views
from annotation.training.export import export, slim
from annotation.training.network import Encoder


@dataclass(frozen=True)
class DataSet:
    """What was learned from, and what its owners allow."""

    name: str
    terms: str
    citation: str


DATA_SETS: Final = (
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


@dataclass(frozen=True)
class Plan:
    """What to train from, where to, and how long. `limit`: photos per data set."""

    data: Path
    out: Path
    name: str
    run: Path
    epochs: int = 24
    seed: int = 1
    resume: bool = False
    limit: int | None = None


def train_encoder(plan: Plan) -> dict[str, Any]:
    """Train, export, calibrate and measure; writes NAME.onnx and NAME.json to `out`.

    Returns the metadata that was written. With the same seed, data and machine the
    weights are the same.
    """
    cv2.setNumThreads(1)  # its threads and torch's would take each other's cores
    _say("reading the data, finding faces in street photos")
    faces, photos = views.load(plan.data, seed=plan.seed, limit=plan.limit)
    encoder = fit.train(
        faces,
        photos,
        plan.run,
        epochs=plan.epochs,
        seed=plan.seed,
        resume=plan.resume,
    )
    return publish(encoder, plan)


def publish(encoder: Encoder, plan: Plan) -> dict[str, Any]:
    """Export a trained encoder, with its calibration and metrics beside it."""
    plan.out.mkdir(parents=True, exist_ok=True)
    network = plan.out / f"{plan.name}.onnx"
    shipped = slim(encoder)
    difference = export(shipped, network)
    _say("calibrating on the photos kept from training")
    kept = cases.kept(plan.data, plan.limit)
    readout, cross_fitted = calibrating.calibrate(shipped, kept)
    metadata = _about(plan, network) | {
        "export_difference": difference,
        "calibration": readout.as_json(),
        "cross_fitted": cross_fitted,
    }
    text = json.dumps(metadata, indent=1) + "\n"
    network.with_suffix(".json").write_text(text)
    return metadata


def _about(plan: Plan, network: Path) -> dict[str, Any]:
    return {
        "model": plan.name,
        "sha256": hashlib.sha256(network.read_bytes()).hexdigest(),
        "bytes": network.stat().st_size,
        "parameters": sum(p.numel() for p in Encoder().parameters()),
        "research_data": True,
        "data_sets": [asdict(data_set) for data_set in DATA_SETS],
        "seed": plan.seed,
        "epochs": plan.epochs,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - narration, never a result
