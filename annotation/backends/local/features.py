"""One vector per photo for visual likeness, from the photo's own area alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from annotation.backends.local.families import Family, Seen
from annotation.backends.local.framing import Bucket
from annotation.backends.local.vision import Colours


class Features(Protocol):
    """Pixels uint8 (B, height, width, 3), boxes (B, 4) of the photos in them."""

    def of(self, pixels: Tensor, boxes: Tensor, seen: Seen) -> Tensor:
        """Float32 vectors, (B, width)."""
        ...


class OwnFeatures:
    """The mean of the model's own image tokens, in the language model's space."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def of(self, pixels: Tensor, boxes: Tensor, seen: Seen) -> Tensor:
        """Tokens count by how much of them is photo and not padding."""
        bucket = Bucket(*pixels.shape[1:3])
        shares = photo_shares(boxes, bucket, self._family.grid(bucket))
        weighted = torch.einsum("bn,bnw->bw", shares, seen.tokens.float())
        return weighted / shares.sum(1, keepdim=True)


def photo_shares(boxes: Tensor, bucket: Bucket, grid: tuple[int, int]) -> Tensor:
    """How much of each token's area is photo, (B, rows · columns) in [0, 1]."""
    starts, lengths = boxes[:, :2].float(), boxes[:, 2:].float()
    rows, columns = (
        _overlaps(starts[:, axis], lengths[:, axis], count, bucket[axis] / count)
        for axis, count in enumerate(grid)
    )
    return (rows[:, :, None] * columns[:, None]).flatten(1)


def _overlaps(starts: Tensor, lengths: Tensor, count: int, side: float) -> Tensor:
    """How much of each of `count` cells lies in an interval, (B, count) in [0, 1]."""
    begin = torch.arange(count, device=starts.device) * side
    ends = (starts + lengths)[:, None].minimum(begin + side)
    return (ends - starts[:, None].maximum(begin)).clamp(min=0) / side


class EncoderFeatures:
    """What an image encoder of its own (CLIP, SigLIP) makes of the photo."""

    def __init__(
        self, encoder: Any, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self._encoder = encoder
        self._side = int(encoder.config.image_size)
        self._colours = Colours(mean, std).to(encoder.device)

    def of(self, pixels: Tensor, boxes: Tensor, _seen: Seen) -> Tensor:
        """The encoder's pooled output."""
        colours = self._colours(pixels).permute(0, 3, 1, 2)
        images = squares(colours, boxes, self._side).to(self._encoder.dtype)
        pooled: Tensor = self._encoder(images).pooler_output
        return pooled.float()


def squares(images: Tensor, boxes: Tensor, side: int) -> Tensor:
    """The square around each photo, (B, 3, side, side); what is outside is 0.

    `images` (B, 3, height, width), `boxes` (B, 4): top, left, height, width.
    """
    size = torch.tensor(images.shape[2:], device=images.device)
    starts, lengths = boxes[:, :2].float(), boxes[:, 2:].float()
    centres = (2 * starts + lengths) / size - 1
    scales = lengths.amax(1, keepdim=True) / size
    steps = (torch.arange(side, device=images.device) + 0.5) * 2 / side - 1
    rows = centres[:, :1] + scales[:, :1] * steps
    columns = centres[:, 1:] + scales[:, 1:] * steps
    shape = (-1, side, side)
    grid = torch.stack(
        [columns[:, None].expand(shape), rows[:, :, None].expand(shape)], -1
    )
    return grid_sample(images, grid, align_corners=False)
