"""From the data folder to weights that the embedded annotator can be given."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch

from annotation.small.framing import look
from annotation.small.readout import Readout
from annotation.training import evaluate, fit, taste, validation, views
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


THRESHOLD_PHOTOS: Final = 2000  # per data set: more would move them by little


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
    _say("measuring on the photos kept from training")
    cases = validation.cases(plan.data, plan.limit)
    logits, features = evaluate.run(shipped, cases)
    readout = Readout.fit(logits, cases.targets)
    thresholds = _thresholds(shipped, readout, plan)
    metadata = _about(plan, network) | {
        "export_difference": difference,
        "calibration": readout.as_json(),
        "metrics": evaluate.evaluate(logits, features, cases, thresholds).as_json()
        | {"taste": _taste(shipped, plan.data)},
    }
    text = json.dumps(metadata, indent=1) + "\n"
    network.with_suffix(".json").write_text(text)
    return metadata


def _thresholds(encoder: Encoder, readout: Readout, plan: Plan) -> dict[str, float]:
    taught = validation.learned(plan.data, plan.limit or THRESHOLD_PHOTOS)
    logits, _ = evaluate.run(encoder, taught)
    return evaluate.thresholds(readout, logits, taught)


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


@torch.no_grad()
def _taste(encoder: Encoder, folder: Path) -> dict[str, float]:
    data = taste.london(folder)
    looks = [look(photo) for photo in data.photos]
    _, features = encoder(
        torch.from_numpy(np.stack([seen.face for seen in looks])),
        torch.from_numpy(np.stack([seen.photo for seen in looks])),
    )
    found = taste.taste_auc(features.numpy(), data)
    return {name: round(value, 4) for name, value in found.items()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - narration, never a result
