"""Where a model's files are, and what memory they take. Nothing is written there."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import get_session, set_client_factory, snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError

from annotation.backends.base import BackendUnavailableError

# No pickles and no Python: a model's repository runs nothing here.
FILES: Final = ["*.json", "*.jinja", "*.txt", "*.model", "*.safetensors"]
# The hub's own client would wait for ever for a server that says nothing.
HUB_SECONDS: Final = 20.0
# Beside the weights: activations, the text's keys and values, the allocator's waste.
ROOM: Final = 1.1
GIB: Final = 2**30
# More takes minutes for a photo without a GPU: nobody wants that by mistake.
MOST_ON_CPU: Final = 1_000_000_000
# As safetensors names what torch computes in.
NAMES: Final = {torch.bfloat16: "BF16", torch.float32: "F32"}
MEMINFO: Final = Path("/proc/meminfo")


def folder_of(model: str, revision: str) -> Path:
    """The folder of a model: itself, or where the hub's files lie.

    Raises BackendUnavailableError if it is neither a folder nor to be had.
    """
    folder = Path(model)
    if folder.is_dir():
        return _with_weights(folder, model)
    try:
        found = _downloaded(model, revision)
    except Exception as error:  # whatever a server or what is between may answer
        raise BackendUnavailableError(
            f"No weights of {model!r} ({revision}): it is no folder here and cannot be "
            f"had from the hub ({type(error).__name__}). Download it with "
            "`hf download` or name its folder."
        ) from error
    return _with_weights(found, model)


def _downloaded(model: str, revision: str) -> Path:
    """Where the hub's files lie; asks the hub only if some are not here.

    So a restart takes the same weights again, whatever the branch has come to.
    """
    with suppress(LocalEntryNotFoundError):
        return Path(
            snapshot_download(
                model, revision=revision, allow_patterns=FILES, local_files_only=True
            )
        )
    _limit_waiting()
    return Path(snapshot_download(model, revision=revision, allow_patterns=FILES))


def _limit_waiting() -> None:
    """Give the hub's clients a time limit for every answer, and for its next bytes."""
    usual = get_session()
    hooks = [hook for hook in usual.event_hooks["request"] if hook is not _limited]
    client, hooks = type(usual), [*hooks, _limited]
    set_client_factory(
        lambda: client(follow_redirects=True, event_hooks={"request": hooks})
    )


def _limited(request: Any) -> None:
    """For the hub's library says for some requests that they have no limit."""
    said = request.extensions["timeout"]
    request.extensions["timeout"] = {
        kind: seconds or HUB_SECONDS for kind, seconds in said.items()
    }


def _with_weights(folder: Path, model: str) -> Path:
    if not (folder / "config.json").is_file() or not _files(folder):
        raise BackendUnavailableError(
            f"The folder of {model!r} needs config.json and *.safetensors."
        )
    return folder


def check_memory(folder: Path, device: torch.device, dtype: torch.dtype) -> None:
    """Raise BackendUnavailableError if the weights would not fit.

    On their way to a GPU those of its precision stay in their files, mapped; others
    are converted in this machine's memory, all of them before the first moves on.
    """
    check_room(parameters(folder), device, dtype)
    if device.type != "cpu":
        check_room(converted(folder, dtype), torch.device("cpu"), dtype)


def check_room(numbers: int, device: torch.device, dtype: torch.dtype) -> None:
    """Raise BackendUnavailableError if so many numbers would not fit on the device."""
    needed, free = numbers * dtype.itemsize * ROOM, free_bytes(device)
    if needed > free:
        raise BackendUnavailableError(
            f"The model needs {needed / GIB:.1f} GiB of memory on {device.type}, "
            f"{free / GIB:.1f} GiB are free. Choose a smaller model, or free some."
        )


def check_speed(numbers: int, device: torch.device, *, chosen: bool) -> None:
    """Raise BackendUnavailableError for a large model on a CPU that nobody has chosen.

    So a driver that is lost stops a worker, and does not slow it down a hundredfold.
    """
    if device.type == "cpu" and not chosen and numbers > MOST_ON_CPU:
        raise BackendUnavailableError(
            f"No GPU, and {numbers / 1e9:.1f} billion parameters are too slow without. "
            "See that torch finds one; or set TWINBY_VLM_DEVICE=cpu to wait for it."
        )


def parameters(folder: Path) -> int:
    """How many numbers the weights have, read from the files' headers.

    Raises BackendUnavailableError if a file is damaged.
    """
    return sum(math.prod(tensor["shape"]) for tensor in _tensors(folder))


def converted(folder: Path, dtype: torch.dtype) -> int:
    """How many of them have another precision in their file. Raises likewise."""
    return sum(
        math.prod(tensor["shape"])
        for tensor in _tensors(folder)
        if tensor["dtype"] != NAMES[dtype]
    )


def _tensors(folder: Path) -> Iterator[dict[str, Any]]:
    """Shape and precision of all of them."""
    for file in _files(folder):
        header = _header(file)
        header.pop("__metadata__", None)
        yield from header.values()


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


def damaged(what: str = "weights") -> BackendUnavailableError:
    """What to say of weights, or another file, that cannot be read."""
    return BackendUnavailableError(
        f"The model's {what} are damaged or incomplete: download them again."
    )


def said_in(file: Path) -> dict[str, Any]:
    """What a JSON file says; nothing if there is none.

    Raises BackendUnavailableError with its name if it is damaged.
    """
    if not file.is_file():
        return {}
    try:
        said: dict[str, Any] = json.loads(file.read_text())
    except ValueError:
        raise damaged(f"contents of {file.name}") from None
    return said


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
