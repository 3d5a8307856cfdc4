"""Which model the local back end runs, on what, and how large it sees a photo.

Web processes read it too, since they have to know the model's name: no torch here.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal, TypeVar, get_args

from annotation import prompt
from annotation.backends.base import AnnotatorVersion
from twinby.env import EnvError, env_float, env_int, env_text

Device = Literal["auto", "cuda", "cpu"]
Quantization = Literal["none", "int8", "fp8"]
Word = TypeVar("Word", bound=str)

DEVICES: Final[tuple[Device, ...]] = get_args(Device)
QUANTIZATIONS: Final[tuple[Quantization, ...]] = get_args(Quantization)
DEFAULT_MODEL: Final = "Qwen/Qwen2.5-VL-7B-Instruct"
# Renditions for annotation have 448 pixels: more would only be blown up.
IMAGE_SIDES: Final = range(112, 449)
BATCHES: Final = range(1, 1025)
NAME_LENGTH: Final = 80  # with the hash behind it, within the column's 100


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

    @property
    def version(self) -> AnnotatorVersion:
        """Named by all that changes what is seen; not by where or how fast it runs.

        Of a folder that is its path: other weights need another folder or revision.
        """
        name = re.sub(r"[^\w.-]", "-", PurePath(self.model).name)[:NAME_LENGTH]
        return AnnotatorVersion("local", f"{name}-{self._hash}", prompt.VERSION)

    @property
    def _hash(self) -> str:
        seen = (
            self.model,
            self.revision,
            self.quantization,
            self.image_side,
            self.features,
        )
        return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:8]


def configured() -> LocalConfig:
    """What the environment says. Raises EnvError where that makes no sense."""
    return LocalConfig(
        model=env_text("TWINBY_VLM_MODEL", DEFAULT_MODEL),
        revision=env_text("TWINBY_VLM_REVISION", "main"),
        device=_word("TWINBY_VLM_DEVICE", DEVICES),
        quantization=_word("TWINBY_VLM_QUANTIZATION", QUANTIZATIONS),
        image_side=_whole("TWINBY_VLM_SIDE", 448, IMAGE_SIDES),
        features=env_text("TWINBY_VLM_FEATURES", "model"),
        batch=_whole("TWINBY_VLM_BATCH", 32, BATCHES),
        usd_per_gpu_hour=_dollars("TWINBY_GPU_USD_PER_HOUR"),
    )


def version() -> AnnotatorVersion:
    """The version of the configured model; loads nothing. Raises EnvError."""
    return configured().version


def _word(name: str, known: tuple[Word, ...]) -> Word:
    """The variable's word, which must be known; the first one where it is absent."""
    text = env_text(name, known[0])
    for word in known:
        if text == word:
            return word
    raise EnvError(f"{name} must be one of: {', '.join(known)}")


def _whole(name: str, default: int, allowed: range) -> int:
    number = env_int(name, default)
    if number not in allowed:
        raise EnvError(f"{name} must be from {allowed.start} to {allowed.stop - 1}")
    return number


def _dollars(name: str) -> float:
    amount = env_float(name, 0.0)
    if not 0 <= amount < float("inf"):
        raise EnvError(f"{name} must be 0 or more")
    return amount
