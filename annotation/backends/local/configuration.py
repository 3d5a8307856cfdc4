"""Which model the local back end runs, on what, and how large it sees a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Device = Literal["auto", "cuda", "cpu"]
Quantization = Literal["none", "int8", "fp8"]


@dataclass(frozen=True)
class LocalConfig:
    """The settings of one model: a hub id or a folder, and how it is run.

    `features` is "model" for the model's own vision tower, or the hub id or folder of
    a CLIP or SigLIP image encoder.
    """

    model: str
    revision: str
    device: Device
    quantization: Quantization
    image_side: int = 448
    features: str = "model"
    batch: int = 16
    usd_per_gpu_hour: float = 0.0
