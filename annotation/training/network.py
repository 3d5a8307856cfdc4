"""The network: two branches that begin as EfficientNet-Lite0, heads, an embedding."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from annotation.small.framing import FACE_SIDE, PHOTO_HEIGHT, PHOTO_WIDTH
from annotation.small.heads import FACE_HEADS, PHOTO_HEADS, width
from annotation.training import lite
from annotation.training.further import OF_CLOTHES, OF_FACES

BRANCH_WIDTH: Final = 256
DROPOUT: Final = 0.2
# A face is looked at larger than it comes: what the trunk knows, it knows from photos
# of 224 pixels, and an earring in 112 is smaller than anything that it was taught.
FACE_ENLARGED: Final = (160, 160)
# The share of a view's side that its mirror image is cut off on every side: another
# frame of the same face is another opinion, and costs no more than the same frame.
NEARER: Final = 0.07
# Shares of the embedding's squared length: taste is first of all in faces.
FACE_SHARE, PHOTO_SHARE = 0.64, 0.36


class Pool(nn.Module):
    """Maps (n, channels, h, w) -> (n, 3 channels): by place, the mean, the largest.

    By place: every cell has its own weight per channel (MobileFaceNet, Chen et al.
    2018), for a chin is not a fringe. The largest: an earring fills one cell.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.by_place = nn.Conv2d(channels, channels, size, groups=channels, bias=False)
        nn.init.constant_(self.by_place.weight, 1 / (size[0] * size[1]))

    def forward(self, maps: Tensor) -> Tensor:
        placed = self.by_place(maps).flatten(1)
        return torch.cat([placed, maps.mean((2, 3)), maps.amax((2, 3))], 1)


class Branch(nn.Module):
    """One view, uint8 (n, height, width, 3) RGB -> features (n, 256), logits, further.

    `further` are the logits of labels that only shape the features in training. The
    trunk looks at a view of `size` as one of `enlarged`, if that is given.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self,
        size: tuple[int, int],
        logits: int,
        further: int,
        *,
        stages: int,
        enlarged: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.looked_at = enlarged or size
        self.middle, self.top = lite.trunk(stages)
        middle, top = lite.STAGES[lite.LAST_AT_A_SIXTEENTH - 1], lite.STAGES[stages - 1]
        self.pool_middle = Pool(middle.channels, _cells(self.looked_at, 16))
        self.pool_top = Pool(top.channels, _cells(self.looked_at, 32))
        # Without an affine part the features are centred, as similarity wants them.
        self.features = nn.Sequential(
            nn.Linear(3 * (middle.channels + top.channels), BRANCH_WIDTH, bias=False),
            nn.BatchNorm1d(BRANCH_WIDTH, affine=False),
        )
        self.dropout = nn.Dropout(DROPOUT)
        self.heads = nn.Linear(BRANCH_WIDTH, logits)
        self.further = nn.Linear(BRANCH_WIDTH, further)
        self.register_buffer("mean", torch.tensor(lite.MEAN)[:, None, None])
        self.register_buffer("spread", torch.tensor(lite.SPREAD)[:, None, None])

    def forward(self, view: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.answers(self.pixels(view))

    def answers(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` answers, of a view's `pixels`."""
        middle = self.middle(pixels)
        pooled = [self.pool_middle(middle), self.pool_top(self.top(middle))]
        features = self.features(torch.cat(pooled, 1))
        used = self.dropout(features)
        return features, self.heads(used), self.further(used)

    def pixels(self, view: Tensor) -> Tensor:
        """A view of any size as ImageNet's photos were given, (n, 3, height, width).

        A row of pixels at a time: the runtime is ten times as slow by threes.
        """
        rows = view.float().flatten(2)
        mean, spread = (
            part.flatten().repeat(view.shape[2]) for part in (self.mean, self.spread)
        )
        pixels = ((rows - mean) / spread).view(view.shape).permute(0, 3, 1, 2)
        if self.looked_at == (view.shape[1], view.shape[2]):
            return pixels
        return functional.interpolate(pixels, self.looked_at, mode="bilinear")


def _cells(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    return -(-size[0] // pixels), -(-size[1] // pixels)


def face_branch() -> Branch:
    """Shorter by a stage: a face fills its view, and its labels are details."""
    size = (FACE_SIDE, FACE_SIDE)
    logits, further = width(FACE_HEADS), len(OF_FACES)
    return Branch(size, logits, further, stages=6, enlarged=FACE_ENLARGED)


def photo_branch() -> Branch:
    """All of the trunk's stages: garments are things, as ImageNet's are."""
    size = (PHOTO_HEIGHT, PHOTO_WIDTH)
    return Branch(size, width(PHOTO_HEADS), len(OF_CLOTHES), stages=7)


class Encoder(nn.Module):
    """Both views -> logits (n, heads.WIDTH) and an embedding (n, 512) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.face = face_branch()
        self.photo = photo_branch()
        # Fitted when the branches have been taught: see `whitening`.
        self.whiten_face = nn.Linear(BRANCH_WIDTH, BRANCH_WIDTH)
        self.whiten_photo = nn.Linear(BRANCH_WIDTH, BRANCH_WIDTH)

    def forward(self, face: Tensor, photo: Tensor) -> tuple[Tensor, Tensor]:
        face_features, face_logits = _both_ways(self.face, face)
        photo_features, photo_logits = _both_ways(self.photo, photo)
        # A crop that holds no face must not speak for one.
        weight = torch.sigmoid(face_logits[:, :1]) * FACE_SHARE**0.5
        whole = torch.cat(
            [
                functional.normalize(self.whiten_face(face_features)) * weight,
                functional.normalize(self.whiten_photo(photo_features))
                * PHOTO_SHARE**0.5,
            ],
            1,
        )
        return torch.cat([face_logits, photo_logits], 1), functional.normalize(whole)


def _both_ways(branch: Branch, view: Tensor) -> tuple[Tensor, Tensor]:
    """Features and logits, each the mean of those of the view and its mirror image.

    The mirror image is cut off a little on every side, as if taken from nearer.
    """
    rows, columns = (_inner(side) for side in branch.size)
    mirrored = view.flip(2)[:, rows, columns]
    pixels = torch.cat([branch.pixels(view), branch.pixels(mirrored)])
    features, logits, _ = branch.answers(pixels)
    return _paired_mean(features), _paired_mean(logits)


def _inner(side: int) -> slice:
    cut = round(side * NEARER)
    return slice(cut, side - cut)


def _paired_mean(values: Tensor) -> Tensor:
    return values.reshape(2, -1, values.shape[1]).mean(0)
