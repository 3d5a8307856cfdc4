"""From torch to one ONNX file in 8 bits, checked against torch before it is rounded."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from annotation.calibration.scaling import Floats
from annotation.small.framing import FACE_SIDE, PHOTO_HEIGHT, PHOTO_WIDTH
from annotation.small.pixels import Image
from annotation.training.network import Encoder

OPSET: Final = 17
TOLERANCE: Final = 1e-3
BATCH: Final = 64
# Convolutions and what joins them; the heads stay in full precision.
QUANTISED: Final = ("Conv", "Add", "Clip")
# Where rounding costs most and saves least: the first two blocks, and the pools.
PRECISE: Final = ("/pool_", *(f"/middle/middle.{block}/" for block in range(2)))


class ExportError(Exception):
    """The exported network does not answer as the trained one does."""


def folded(encoder: Encoder) -> Encoder:
    """A copy with normalisation folded into the weights before it."""
    copy = deepcopy(encoder).eval()
    for module in list(copy.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    return copy


def _fold(layers: nn.Sequential) -> None:
    for index in range(len(layers) - 1):
        first, second = layers[index], layers[index + 1]
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
            layers[index] = fuse_conv_bn_eval(first, second)
            layers[index + 1] = nn.Identity()
        elif isinstance(first, nn.Linear) and isinstance(second, nn.BatchNorm1d):
            layers[index] = fuse_linear_bn_eval(first, _affine(second))
            layers[index + 1] = nn.Identity()


def _affine(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    """The same normalisation with the neutral weights that folding asks for."""
    copy = nn.BatchNorm1d(norm.num_features, eps=norm.eps).eval()
    copy.load_state_dict(norm.state_dict(), strict=False)
    return copy


def export(encoder: Encoder, path: Path) -> float:
    """Write a folded network; the largest difference of its answers from torch's.

    Inputs `face` and `photo`, uint8 RGB (n, h, w, 3); outputs `logits` and `features`.
    Raises ExportError if they differ by more than TOLERANCE.
    """
    with warnings.catch_warnings():
        # The new exporter needs onnxscript, which nothing else here does.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            _noise(2),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["face", "photo"],
            output_names=["logits", "features"],
            dynamic_axes={
                name: {0: "n"} for name in ("face", "photo", "logits", "features")
            },
        )
    return _difference(encoder, path)


def _noise(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    shapes = ((FACE_SIDE, FACE_SIDE), (PHOTO_HEIGHT, PHOTO_WIDTH))
    face, photo = (
        torch.randint(0, 256, (count, *shape, 3), generator=generator).byte()
        for shape in shapes
    )
    return face, photo


def _difference(encoder: Encoder, path: Path) -> float:
    face, photo = _noise(5)
    with torch.no_grad():
        expected = encoder(face, photo)
    found = answers(path, face.numpy(), photo.numpy())
    worst = max(
        float(np.abs(answer - value.numpy()).max())
        for answer, value in zip(found, expected, strict=True)
    )
    if not worst <= TOLERANCE:
        raise ExportError(f"the exported network differs from torch by {worst:.2g}")
    return worst


def quantise(source: Path, target: Path, faces: Image, photos: Image) -> None:
    """Round an exported network's convolutions to 8 bits.

    `faces` and `photos`, uint8 (n, h, w, 3), say how far its maps reach. Seven bits of
    each weight are used: on processors without VNNI eight would overflow.
    """
    with tempfile.TemporaryDirectory() as folder, _quietly():
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared))
        quantize_static(
            str(prepared),
            str(target),
            _Sample(faces, photos),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_exclude=_precise(prepared),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the quantiser warns of, for all that is logged in the meantime."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(before)


def _precise(network: Path) -> list[str]:
    """The convolutions that are not rounded."""
    nodes = onnx.load(str(network)).graph.node
    convolutions = (node.name for node in nodes if node.op_type == "Conv")
    return [name for name in convolutions if any(part in name for part in PRECISE)]


class _Sample(CalibrationDataReader):  # type: ignore[misc]
    """Batches of both views, once."""

    def __init__(self, faces: Image, photos: Image) -> None:
        self._batches = iter(list(_batches(faces, photos)))

    def get_next(self) -> dict[str, Image] | None:
        return next(self._batches, None)


def answers(network: Path, faces: Image, photos: Image) -> tuple[Floats, Floats]:
    """What an ONNX file answers: logits (n, WIDTH) and features (n, 512)."""
    session = onnxruntime.InferenceSession(
        str(network), providers=["CPUExecutionProvider"]
    )
    found = [
        session.run(["logits", "features"], inputs)
        for inputs in _batches(faces, photos)
    ]
    logits, features = (np.concatenate(column) for column in zip(*found, strict=True))
    return logits, features


def _batches(faces: Image, photos: Image) -> Iterator[dict[str, Image]]:
    for start in range(0, len(faces), BATCH):
        rows = slice(start, start + BATCH)
        yield {"face": faces[rows], "photo": photos[rows]}
