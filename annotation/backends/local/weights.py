"""Where a model's files are, and what memory they take. Nothing is written there."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError

from annotation.backends.base import BackendUnavailableError

# No pickles and no Python: a model's repository runs nothing here.
FILES: Final = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
# Beside the weights: activations, the text's keys and values, the allocator's waste.
ROOM: Final = 1.1
GIB: Final = 2**30
MEMINFO: Final = Path("/proc/meminfo")


def folder_of(model: str, revision: str) -> Path:
    """The folder of a model: itself, or where the hub's files lie.

    Raises BackendUnavailableError if it is neither a folder nor to be had.
    """
    folder = Path(model)
    if folder.is_dir():
        return _with_weights(folder, model)
    try:
        found = snapshot_download(model, revision=revision, allow_patterns=FILES)
    except (HFValidationError, OSError) as error:
        raise BackendUnavailableError(
            f"No weights of {model!r} ({revision}): it is no folder here and cannot be "
            "had from the hub. Download it with `hf download` or name its folder."
        ) from error
    return _with_weights(Path(found), model)


def _with_weights(folder: Path, model: str) -> Path:
    if not (folder / "config.json").is_file() or not _files(folder):
        raise BackendUnavailableError(
            f"The folder of {model!r} needs config.json and *.safetensors."
        )
    return folder


def check_memory(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Raise BackendUnavailableError if the weights would not fit on the device."""
    needed = parameters(folder) * dtype.itemsize * ROOM
    free = free_bytes(device)
    if needed > free:
        raise BackendUnavailableError(
            f"The model needs {needed / GIB:.1f} GiB of memory on {device.type}, "
            f"{free / GIB:.1f} GiB are free. Choose a smaller model, or free some."
        )


def parameters(folder: Path) -> int:
    """How many numbers the weights have, read from the files' headers.

    Raises BackendUnavailableError if a file is damaged.
    """
    return sum(
        math.prod(tensor["shape"])
        for file in _files(folder)
        for name, tensor in _header(file).items()
        if name != "__metadata__"
    )


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _header(file: Path) -> dict[str, Any]:
    """The description at a file's beginning: https://github.com/huggingface/safetensors."""
    with file.open("rb") as opened:
        try:
            (length,) = struct.unpack("<Q", opened.read(8))
            header: dict[str, Any] = json.loads(opened.read(length))
        except (struct.error, ValueError, MemoryError, OverflowError):
            raise damaged() from None
    return header


def damaged() -> BackendUnavailableError:
    """What to say of weights that cannot be read."""
    return BackendUnavailableError(
        "The model's weights are damaged or incomplete: download them again."
    )


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device now."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return _available_bytes()


def _available_bytes() -> int:
    """What Linux says is available, caches included; elsewhere all there is."""
    if MEMINFO.is_file():
        fields = dict(line.split(":") for line in MEMINFO.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
