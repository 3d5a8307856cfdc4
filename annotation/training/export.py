"""From torch to one ONNX file with half-precision weights, checked against torch."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from annotation.small.framing import FACE_SIDE, PHOTO_HEIGHT, PHOTO_WIDTH
from annotation.training.network import Encoder

OPSET = 17
TOLERANCE = 1e-3
# Smaller tensors are kept whole: biases and statistics cost no space.
HALVED_FROM = 256


class ExportError(Exception):
    """The exported network does not answer as the trained one does."""


def slim(encoder: Encoder) -> Encoder:
    """A copy to ship and measure: normalisation folded in, weights in half precision.

    Folded first, since rounding must come last to survive the export exactly.
    """
    copy = deepcopy(encoder).eval()
    for module in list(copy.modules()):
        if isinstance(module, nn.Sequential):
            _fold(module)
    for parameter in copy.parameters():
        if parameter.numel() >= HALVED_FROM:
            parameter.data = parameter.data.half().float()
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
    """Write a slim network; the largest difference of its answers from torch's.

    Inputs `face` and `photo`, uint8 RGB (n, h, w, 3); outputs `logits` and `features`.
    Raises ExportError if they differ by more than TOLERANCE.
    """
    views = _noise(2)
    with warnings.catch_warnings():
        # The new exporter needs onnxscript, which nothing else here does.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            encoder,
            views,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=["face", "photo"],
            output_names=["logits", "features"],
            dynamic_axes={
                name: {0: "n"} for name in ("face", "photo", "logits", "features")
            },
        )
    _store_halved(path)
    return _difference(encoder, path)


def _noise(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    shapes = ((FACE_SIDE, FACE_SIDE), (PHOTO_HEIGHT, PHOTO_WIDTH))
    face, photo = (
        torch.randint(0, 256, (count, *shape, 3), generator=generator).byte()
        for shape in shapes
    )
    return face, photo


def _store_halved(path: Path) -> None:
    """Store large weights as float16; the runtime widens them once, when it loads."""
    model = onnx.load(str(path))
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= HALVED_FROM:
            name = tensor.name
            narrow = numpy_helper.from_array(values.astype(np.float16), name + "_half")
            tensor.CopyFrom(narrow)
            widen = onnx.helper.make_node(
                "Cast", [name + "_half"], [name], to=onnx.TensorProto.FLOAT
            )
            model.graph.node.insert(0, widen)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _difference(encoder: Encoder, path: Path) -> float:
    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    views = _noise(5)
    with torch.no_grad():
        expected = encoder(*views)
    inputs = {"face": views[0].numpy(), "photo": views[1].numpy()}
    answers = session.run(["logits", "features"], inputs)
    worst = max(
        float(np.abs(answer - value.numpy()).max())
        for answer, value in zip(answers, expected, strict=True)
    )
    if not worst <= TOLERANCE:
        raise ExportError(f"the exported network differs from torch by {worst:.2g}")
    return worst
