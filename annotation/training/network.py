"""The compact network: two small convolutional branches, heads, and an embedding."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotation.small.heads import FACE_HEADS, PHOTO_HEADS, width
from annotation.training.labels import AUXILIARY

CHANNELS: Final = (16, 32, 64, 128, 256)
BRANCH_WIDTH: Final = CHANNELS[-1]
# Shares of the embedding's squared length: taste is first of all in faces.
FACE_SHARE, PHOTO_SHARE = 0.64, 0.36


class Block(nn.Module):
    """A residual pair of 3x3 convolutions that halves height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.path(x) + self.shortcut(x))


class Branch(nn.Module):
    """One view, uint8 (n, height, width, 3) RGB -> features (n, 256), logits, further.

    `further` are the logits of labels that only shape the features in training.
    """

    def __init__(self, logits: int, further: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, CHANNELS[0], 3, 2, 1, bias=False),
            nn.BatchNorm2d(CHANNELS[0]),
            nn.ReLU(inplace=True),
            *map(Block, CHANNELS[:-1], CHANNELS[1:]),
        )
        # Without an affine part the features are centred, as similarity wants them.
        self.features = nn.Sequential(
            nn.Linear(BRANCH_WIDTH, BRANCH_WIDTH, bias=False),
            nn.BatchNorm1d(BRANCH_WIDTH, affine=False),
        )
        self.dropout = nn.Dropout(0.1)
        self.heads = nn.Linear(BRANCH_WIDTH, logits)
        self.further = nn.Linear(BRANCH_WIDTH, further)

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels = view.permute(0, 3, 1, 2).float().sub(127.5).div(64.0)
        maps = self.trunk(pixels.contiguous(memory_format=torch.channels_last))
        features = self.features(maps.mean((2, 3)))
        used = self.dropout(features)
        return features, self.heads(used), self.further(used)


class Encoder(nn.Module):
    """Both views -> logits (n, heads.WIDTH) and an embedding (n, 512) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.face = Branch(width(FACE_HEADS), len(AUXILIARY))
        self.photo = Branch(width(PHOTO_HEADS), len(AUXILIARY))

    def forward(self, face: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
        face_features, face_logits, _ = self.face(face)
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
