"""The device that a model runs on: what it could do, and what it had to keep."""

from __future__ import annotations

import resource
import time
from typing import Any, Final

import torch

from annotation.backends.local.loading import dtype_on

# Dense bf16 by NVIDIA's data sheets, in FLOP/s; the first name that fits counts.
PEAKS: Final = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("H100", 989e12),
    ("A100", 312e12),
)
SLICE: Final = "MIG"
GEMM_SIDE: Final = {"cuda": 8192, "cpu": 1536}
GEMM_TRIES: Final = 5


def peak_of(device: str) -> tuple[float, str]:
    """FLOP/s that a device can do at the most, and who says so.

    A slice of a card (MIG) has only its share, which is measured.
    """
    for name, peak in PEAKS:
        if name in device and SLICE not in device:
            return peak, f"NVIDIA's data sheet for {name}, bf16, dense"
    return gemm_flops("cpu" if device == "cpu" else "cuda")


def gemm_flops(kind: str) -> tuple[float, str]:
    """FLOP/s of the quickest of some large products of matrices, measured here."""
    device = torch.device(kind)
    dtype, side = dtype_on(device), GEMM_SIDE[kind]
    left = torch.randn(side, side, device=device, dtype=dtype)
    fastest = min(_seconds_of_product(left) for _ in range(GEMM_TRIES))
    name = str(dtype).removeprefix("torch.")
    return 2 * side**3 / fastest, f"measured here: {name} product of {side} x {side}"


def _seconds_of_product(left: torch.Tensor) -> float:
    synchronize()
    started = time.perf_counter()
    left @ left
    synchronize()
    return time.perf_counter() - started


def synchronize() -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def memory() -> dict[str, Any]:
    """The most that was in use: of the GPU's memory, else of this process."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return {
            "peak_memory_bytes": torch.cuda.max_memory_allocated(),
            "peak_memory_of": "gpu",
        }
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_memory_bytes": 1024 * kilobytes, "peak_memory_of": "process"}
