"""From torch to one ONNX file with half-precision weights, checked against torch."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

from annotation.framing import FACE_SIDE, PHOTO_HEIGHT, PHOTO_WIDTH
from annotation.training.network import Encoder

OPSET = 17
TOLERANCE = 1e-3
# Smaller tensors are kept whole: biases and statistics cost no space.
HALVED_FROM = 256


class ExportError(Exception):
    """The exported network does not answer as the trained one does."""


def export(encoder: Encoder, path: Path) -> float:
    """Write the network; the largest difference of its answers from torch's.

    Inputs `face` and `photo`, uint8 RGB (n, h, w, 3); outputs `logits` and `features`.
    Raises ExportError if they differ by more than TOLERANCE.
    """
    encoder = _halved(encoder).eval()
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


def _halved(encoder: Encoder) -> Encoder:
    """A copy whose large weights are exact in half precision."""
    copy = Encoder()
    copy.load_state_dict(
        {
            name: value.half().float() if value.numel() >= HALVED_FROM else value
            for name, value in encoder.state_dict().items()
        }
    )
    return copy


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
