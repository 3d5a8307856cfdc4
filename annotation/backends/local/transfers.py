"""The way to a device and back, so that the host waits for it only once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float32]
Fetch = Callable[[], tuple[Floats, float]]


class Transfer(Protocol):
    """One pass's: made where the pass begins, in the stream that it runs in."""

    def sent(self, array: npt.NDArray[Any] | Tensor) -> Tensor: ...

    def fetched(self, numbers: Tensor) -> Fetch:
        """To be called once: waits for the numbers, and says how long the GPU took."""
        ...


def transfer(device: torch.device) -> Transfer:
    """For one pass on this device."""
    return GpuTransfer(device) if device.type == "cuda" else CpuTransfer()


class CpuTransfer:
    """There is no way to go, and all is done as soon as it is begun."""

    def sent(self, array: npt.NDArray[Any] | Tensor) -> Tensor:
        return torch.as_tensor(array)

    def fetched(self, numbers: Tensor) -> Fetch:
        return lambda: (numbers.numpy(), 0.0)


class GpuTransfer:
    """Through pinned memory, which a GPU reads and writes by itself."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._start, self._end = _event(), _event()
        self._start.record()

    def sent(self, array: npt.NDArray[Any] | Tensor) -> Tensor:
        pinned = torch.as_tensor(array).pin_memory()
        return pinned.to(self._device, non_blocking=True)

    def fetched(self, numbers: Tensor) -> Fetch:
        host = torch.empty_like(numbers, device="cpu", pin_memory=True)
        host.copy_(numbers, non_blocking=True)
        self._end.record()

        def waited() -> tuple[Floats, float]:
            self._end.synchronize()
            return host.numpy(), self._start.elapsed_time(self._end) / 1_000

        return waited


def _event() -> Any:
    # Who waits for a blocking one leaves the processor to the threads that decode.
    event: Any = torch.cuda.Event
    return event(enable_timing=True, blocking=True)
