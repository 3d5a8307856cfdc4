"""What the scorer needs to know of a model, whatever its architecture."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, nn

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local.framing import Bucket

# Height to width: what phones take, upright and lying, and what is cut from it.
ASPECTS: Final = ((1, 1), (4, 3), (3, 4), (2, 1), (1, 2))
# Norms that are exactly torch's, in six kernels of float32; others add 1 to the weight.
PLAIN_NORMS: Final = ("Qwen2_5_VLRMSNorm", "Qwen3VLTextRMSNorm", "MistralRMSNorm")
FULL, SLIDING = "full_attention", "sliding_attention"


@dataclass(frozen=True, eq=False)
class Seen:
    """Photos as the language model takes them: `tokens` (B, N, width).

    `deep` are (B, N, width) each, to be added after the first layers (DeepStack).
    """

    tokens: Tensor
    deep: list[Tensor] = field(default_factory=list)


class Family(ABC):
    """One architecture: how it sees, and where its tokens stand."""

    axes: int  # of a position: 3 with M-RoPE, else 1
    image_token: int

    def __init__(self, model: Any, mean: Sequence[float]) -> None:
        fuse_norms(model)
        self.mean = tuple(mean)
        self.text_config = model.config.text_config
        self.language = model.model.language_model
        self.logits = model.lm_head  # hidden states to logits

    @property
    def device(self) -> torch.device:
        device: torch.device = self.language.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.language.dtype
        return dtype

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Token ids as (1, T, width)."""
        tokens = torch.tensor([ids], device=self.device)
        embedded: Tensor = self.language.embed_tokens(tokens)
        return embedded

    def image_tokens(self, bucket: Bucket) -> int:
        """How many tokens a photo of this bucket becomes."""
        rows, columns = self.grid(bucket)
        return rows * columns

    @abstractmethod
    def buckets(self, side: int) -> tuple[Bucket, ...]:
        """The shapes photos are framed in, long sides about `side` pixels."""

    @abstractmethod
    def grid(self, bucket: Bucket) -> tuple[int, int]:
        """Rows and columns of the tokens that a photo of this bucket becomes."""

    @abstractmethod
    def image_positions(self, bucket: Bucket, start: int) -> tuple[Tensor, int]:
        """Positions (axes, N) of a photo that begins at `start`, and the next free."""

    @abstractmethod
    def position_ids(self, positions: Tensor) -> Tensor:
        """Positions (axes, T) in the shape that the language model takes."""

    @abstractmethod
    def see(self, pixels: Tensor) -> Seen:
        """Look at photos, uint8 (B, height, width, 3) on the device."""

    @abstractmethod
    def extras(self, seen: Seen) -> dict[str, Any]:
        """What else the language model takes with these photos."""


def fuse_norms(model: nn.Module) -> None:
    """Have torch's own kernel compute what a third of all elementwise work was for."""
    for parent in list(model.modules()):
        for name, norm in parent.named_children():
            if type(norm).__name__ in PLAIN_NORMS:
                setattr(parent, name, fused(norm))


def fused(norm: Any) -> nn.RMSNorm:
    """The same norm as one kernel on a GPU; in bf16 it rounds once and not twice."""
    same = nn.RMSNorm(norm.weight.shape, norm.variance_epsilon, device="meta")
    same.weight = norm.weight
    return same


def framed(side: int, multiple: int) -> tuple[Bucket, ...]:
    """Buckets of every aspect whose sides are multiples, the long one about `side`.

    Raises BackendUnavailableError if `side` is smaller than one multiple.
    """
    long = side // multiple * multiple
    if not long:
        raise BackendUnavailableError(
            f"Photos must be at least {multiple} pixels wide for this model."
        )
    shapes = []
    for height, width in ASPECTS:
        scale = long / max(height, width) / multiple
        sides = (max(1, math.floor(s * scale + 0.5)) for s in (height, width))
        shapes.append(Bucket(*(s * multiple for s in sides)))
    return tuple(dict.fromkeys(shapes))


def packable(text_config: Any, longest: int) -> bool:
    """Whether a block mask alone decides what a token sees, up to `longest` tokens.

    Linear attention and convolutions mix all that comes before, mask or not.
    """
    window = getattr(text_config, "sliding_window", None)
    layers = getattr(text_config, "layer_types", None) or [SLIDING if window else FULL]
    wide_enough = not window or window >= longest
    return all(kind == FULL or (kind == SLIDING and wide_enough) for kind in layers)
