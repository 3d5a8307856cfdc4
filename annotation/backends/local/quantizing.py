"""Eight-bit weights and activations, where torchao is installed. Off by default."""

from __future__ import annotations

import importlib
from typing import Any, Final

import torch

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local.configuration import Quantization

# The first GPUs that multiply eight-bit floats: Ada and Hopper.
FP8_CAPABILITY: Final = (8, 9)


def check(quantization: Quantization, device: torch.device) -> None:
    """Raise BackendUnavailableError, saying what is needed, if it cannot be had."""
    if quantization == "none":
        return
    if quantization == "fp8" and not _multiplies_fp8(device):
        raise BackendUnavailableError(
            "fp8 needs a GPU of compute capability 8.9 or more; choose int8 or none."
        )
    _torchao()


def quantize(language: torch.nn.Module, quantization: Quantization) -> None:
    """Make the language model's matrices eight bits wide, in place.

    The vision tower and the logits stay as they are: they are small and most sensitive.
    """
    if quantization == "none":
        return
    ao = _torchao()
    if quantization == "int8":
        ao.quantize_(language, ao.Int8DynamicActivationInt8WeightConfig())
    else:
        by_row = {"granularity": ao.PerRow()}
        ao.quantize_(language, ao.Float8DynamicActivationFloat8WeightConfig(**by_row))


def _multiplies_fp8(device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    return torch.cuda.get_device_capability(device) >= FP8_CAPABILITY


def _torchao() -> Any:
    try:
        return importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise BackendUnavailableError(
            "Quantization needs torchao: pip install torchao."
        ) from error
