"""LLaVA-NeXT, base tile only: one square look at the photo, one-axis positions.

Its further tiles would cost up to five times the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from annotation.backends.local.families import Family, Seen
from annotation.backends.local.framing import Bucket
from annotation.backends.local.vision import Colours


class Llava(Family):
    """A LLaVA-NeXT model."""

    axes = 1

    def __init__(self, model: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(model, mean)
        self.image_token = int(model.config.image_token_id)
        self._config = model.config
        self._vision = model.config.vision_config
        self._tower = model.model.vision_tower
        self._projector = model.model.multi_modal_projector
        self._colours = Colours(mean, std).to(model.device)

    def buckets(self, side: int) -> tuple[Bucket, ...]:
        return (Bucket(self._vision.image_size, self._vision.image_size),)

    def grid(self, bucket: Bucket) -> tuple[int, int]:
        patch = self._vision.patch_size
        return bucket.height // patch, bucket.width // patch

    def image_positions(self, bucket: Bucket, start: int) -> tuple[Tensor, int]:
        free = start + self.image_tokens(bucket)
        return torch.arange(start, free)[None], free

    def position_ids(self, positions: Tensor) -> Tensor:
        return positions

    def see(self, pixels: Tensor) -> Seen:
        images = self._colours(pixels).permute(0, 3, 1, 2).to(self._tower.dtype)
        layers = self._tower(images, output_hidden_states=True).hidden_states
        chosen = self._config.vision_feature_layer
        chosen = [chosen] if isinstance(chosen, int) else chosen
        hidden = torch.cat([layers[layer] for layer in chosen], -1)
        # The class token is no place in the photo.
        return Seen(self._projector(hidden[:, 1:]))

    def extras(self, _seen: Seen) -> dict[str, Any]:
        return {}
