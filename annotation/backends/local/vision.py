"""What makes a vision tower quick, and changes nothing of what it sees.

Photos of one bucket split into equal windows, so attention is one dense call and not a
loop over windows; a still photo is the same frame twice, so the convolution over two
frames is one matrix; pixels travel as bytes and are normalised on the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

# "flash" in the name makes transformers hand over the segments' bounds.
SEGMENTED: Final = "twinby_flash_segments"


def segmented(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _mask: Tensor | None = None,
    *,
    scaling: float,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention within segments of (1, heads, S, size), as (1, S, heads, size).

    Equal segments take one dense call, others one kernel on CUDA, else a loop.
    """
    whole = query.shape[2]
    count = cu_seq_lens_q.numel() - 1
    if count * max_length_q == whole:
        return _equal(query, key, value, count, scaling), None
    if query.is_cuda:
        return _ragged_on_cuda(
            query, key, value, cu_seq_lens_q, max_length_q, scaling
        ), None
    return _ragged(query, key, value, cu_seq_lens_q.tolist(), scaling), None


AttentionInterface.register(SEGMENTED, segmented)


def _equal(
    query: Tensor, key: Tensor, value: Tensor, count: int, scaling: float
) -> Tensor:
    _, heads, whole, size = query.shape

    def split(states: Tensor) -> Tensor:
        return states.reshape(heads, count, whole // count, size).transpose(0, 1)

    seen = scaled_dot_product_attention(
        split(query), split(key), split(value), scale=scaling
    )
    return seen.transpose(1, 2).reshape(1, whole, heads, size)


def _ragged_on_cuda(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Tensor,
    longest: int,
    scaling: float,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (states[0].transpose(0, 1) for states in (query, key, value))
    seen: Any = varlen_attn(q, k, v, bounds, bounds, longest, longest, scale=scaling)
    whole: Tensor = seen[None]
    return whole


def _ragged(
    query: Tensor, key: Tensor, value: Tensor, bounds: list[int], scaling: float
) -> Tensor:
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            scale=scaling,
        )
        for start, end in pairwise(bounds)
    ]
    return torch.cat(parts, 2).transpose(1, 2)


class StillPatches(nn.Module):
    """A convolution over two frames as one matrix, for photos: both frames are one.

    Takes patches (n, 3 · patch · patch), gives (n, width).
    """

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        weight = convolution.weight.detach()
        both = weight.float().sum(2).flatten(1).to(weight.dtype)
        self.weight = nn.Parameter(both, requires_grad=False)
        self.bias = convolution.bias

    def forward(self, patches: Tensor) -> Tensor:
        return nn.functional.linear(
            patches.to(self.weight.dtype), self.weight, self.bias
        )


class Colours(nn.Module):
    """Bytes to what a model was trained on, channels last."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean = nn.Buffer(255 * torch.tensor(mean))
        self.std = nn.Buffer(255 * torch.tensor(std))

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 (B, height, width, 3) to float32."""
        normal: Tensor = (pixels.float() - self.mean) / self.std
        return normal


def patches(pixels: Tensor, *, patch: int, merge: int) -> Tensor:
    """Cut (B, height, width, 3) into (B · n, 3 · patch · patch).

    Patches that will be merged into one token follow each other.
    """
    photos, height, width, channels = pixels.shape
    cell = patch * merge
    cut = pixels.view(
        photos, height // cell, merge, patch, width // cell, merge, patch, channels
    )
    ordered = cut.permute(0, 1, 4, 2, 5, 7, 3, 6)
    return ordered.reshape(-1, channels * patch * patch)
