"""The compact network: two small convolutional branches, heads, and an embedding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotation.small.heads import FACE_HEADS, PHOTO_HEADS, width
from annotation.training.further import OF_CLOTHES, OF_FACES

BRANCH_WIDTH: Final = 256
DROPOUT: Final = 0.2
# Shares of the embedding's squared length: taste is first of all in faces.
FACE_SHARE, PHOTO_SHARE = 0.64, 0.36


@dataclass(frozen=True)
class Layout:
    """Channels of the stem, then (channels, blocks) of each stage of half the size."""

    stem: int
    stages: tuple[tuple[int, int], ...]


LAYOUT: Final = Layout(16, ((32, 1), (64, 2), (128, 2), (256, 1)))


class Block(nn.Module):
    """A residual pair of 3x3 convolutions; `stride` 2 halves height and width."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.path(x) + self.shortcut(x))


def _trunk(layout: Layout) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(3, layout.stem, 3, 2, 1, bias=False),
        nn.BatchNorm2d(layout.stem),
        nn.ReLU(inplace=True),
    ]
    inputs = layout.stem
    for channels, blocks in layout.stages:
        layers.append(Block(inputs, channels, 2))
        layers += [Block(channels, channels, 1) for _ in range(blocks - 1)]
        inputs = channels
    return nn.Sequential(*layers)


class Branch(nn.Module):
    """One view, uint8 (n, height, width, 3) RGB -> features (n, 256), logits, further.

    `further` are the logits of labels that only shape the features in training.
    """

    def __init__(self, logits: int, further: int) -> None:
        super().__init__()
        self.trunk = _trunk(LAYOUT)
        # Without an affine part the features are centred, as similarity wants them.
        self.features = nn.Sequential(
            nn.Linear(2 * LAYOUT.stages[-1][0], BRANCH_WIDTH, bias=False),
            nn.BatchNorm1d(BRANCH_WIDTH, affine=False),
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.Linear(BRANCH_WIDTH, logits)
        self.further = nn.Linear(BRANCH_WIDTH, further)

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = view.permute(0, 3, 1, 2).float().sub(127.5).div(64.0)
        maps = self.trunk(pixels.contiguous(memory_format=torch.channels_last))
        # The largest answer too: an earring fills one cell of the map.
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        features = self.features(pooled)
        used = self.dropout(features)
        return features, self.heads(used), self.further(used)


class Encoder(nn.Module):
    """Both views -> logits (n, heads.WIDTH) and an embedding (n, 512) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.face = Branch(width(FACE_HEADS), len(OF_FACES))
        self.photo = Branch(width(PHOTO_HEADS), len(OF_CLOTHES))

    def forward(self, face: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
        face_features, face_logits = _both_ways(self.face, face)
        photo_features, photo_logits, _ = self.photo(photo)
        # A crop that holds no face must not speak for one.
        weight = torch.sigmoid(face_logits[:, :1]) * FACE_SHARE**0.5
        whole = torch.cat(
            [
                functional.normalize(face_features) * weight,
                functional.normalize(photo_features) * PHOTO_SHARE**0.5,
            ],
            1,
        )
        return torch.cat([face_logits, photo_logits], 1), functional.normalize(whole)


def _both_ways(branch: Branch, view: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits, each the mean of those of the view and its mirror image."""
    features, logits, _ = branch(torch.cat([view, view.flip(2)]))
    return _paired_mean(features), _paired_mean(logits)


def _paired_mean(values: Tensor) -> Tensor:
    return values.reshape(2, -1, values.shape[1]).mean(0)
