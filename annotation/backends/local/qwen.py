"""Qwen2.5-VL, Qwen3-VL and Qwen3.5: windows, DeepStack and three-axis positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.vision_utils import (
    get_vision_cu_seqlens,
    get_vision_interpolation_indices_and_weights,
    get_vision_position_ids,
    get_vision_window_index,
)

from annotation.backends.local.families import Family, Seen, framed
from annotation.backends.local.framing import Bucket
from annotation.backends.local.vision import SEGMENTED, Colours, StillPatches, patches

Plan = dict[str, Any]


class Qwen(Family):
    """A Qwen model with vision, changed in place to see photos quickly.

    Its `rope_deltas` are never used: positions are always given, so that no photo
    leaves anything behind for the next.
    """

    axes = 3

    def __init__(self, model: Any, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(model, mean)
        self.image_token = int(model.config.image_token_id)
        self._visual = model.model.visual
        self._vision = model.config.vision_config
        self._colours = Colours(mean, std).to(model.device)
        self._plans: dict[Bucket, tuple[int, Plan]] = {}
        quicken(self._visual)
        # The photo always comes first: no search for where it stands, which would
        # make the host wait for the device.
        self.language._deepstack_process = added_to_photos  # noqa: SLF001

    @property
    def _cell(self) -> int:
        """The side of one token, in pixels."""
        return int(self._vision.patch_size * self._vision.spatial_merge_size)

    def buckets(self, side: int) -> tuple[Bucket, ...]:
        # Sides that are multiples of the window make all windows equal.
        return framed(side, getattr(self._vision, "window_size", self._cell))

    def grid(self, bucket: Bucket) -> tuple[int, int]:
        return bucket.height // self._cell, bucket.width // self._cell

    def image_positions(self, bucket: Bucket, start: int) -> tuple[Tensor, int]:
        """M-RoPE: one moment, rows, columns; text goes on after the longer side."""
        rows, columns = self.grid(bucket)
        axes = torch.arange(1), torch.arange(rows), torch.arange(columns)
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        return places + start, start + max(rows, columns)

    def position_ids(self, positions: Tensor) -> Tensor:
        return positions[:, None]

    def see(self, pixels: Tensor) -> Seen:
        bucket = Bucket(*pixels.shape[1:3])
        cut = patches(
            self._colours(pixels),
            patch=self._vision.patch_size,
            merge=self._vision.spatial_merge_size,
        )
        seen = self._visual(cut, **self._plan(bucket, len(pixels)))
        shape = (len(pixels), self.image_tokens(bucket), -1)
        deep = getattr(seen, "deepstack_features", None) or []
        return Seen(seen.pooler_output.view(shape), [d.view(shape) for d in deep])

    def extras(self, seen: Seen) -> dict[str, Any]:
        return {"deepstack_visual_embeds": seen.deep} if seen.deep else {}

    def _plan(self, bucket: Bucket, photos: int) -> Plan:
        """All that the tower derives from the photos' size.

        Worked out once for the most photos so far: fewer take the beginning of it.
        """
        most, plan = self._plans.get(bucket, (0, {}))
        if photos > most:
            most, plan = photos, self._planned(bucket, photos)
            self._plans[bucket] = most, plan
        return {name: beginning(part, photos, most) for name, part in plan.items()}

    def _planned(self, bucket: Bucket, photos: int) -> Plan:
        patch, merge = self._vision.patch_size, self._vision.spatial_merge_size
        rows, columns = bucket.height // patch, bucket.width // patch
        grid = torch.tensor([[1, rows, columns]] * photos)
        plan: Plan = {
            "grid_thw": grid,
            "position_ids": get_vision_position_ids(grid, merge),
            "cu_seqlens": get_vision_cu_seqlens(grid),
            "max_seqlen": rows * columns,
            **self._windows(grid),
            **self._places(grid),
        }
        return {
            name: part.to(self.device) if isinstance(part, Tensor) else part
            for name, part in plan.items()
        }

    def _windows(self, grid: Tensor) -> Plan:
        if not hasattr(self._vision, "window_size"):
            return {}
        order, bounds = get_vision_window_index(
            grid,
            spatial_merge_size=self._vision.spatial_merge_size,
            window_size=self._vision.window_size,
            patch_size=self._vision.patch_size,
        )
        longest = int(bounds.diff().max())
        return {
            "window_index": order,
            "cu_window_seqlens": bounds,
            "max_window_seqlen": longest,
        }

    def _places(self, grid: Tensor) -> Plan:
        """Where the learned position embeddings, a square, fall in this grid."""
        if not hasattr(self._visual, "num_grid_per_side"):
            return {}
        indices, weights = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=self._visual.num_grid_per_side,
            mode=self._visual.interpolation_mode,
            align_corners=self._visual.interpolation_align_corners,
            spatial_merge_size=self._vision.spatial_merge_size,
        )
        return {"interp_indices": indices, "interp_weights": weights}


def beginning(part: Any, photos: int, most: int) -> Any:
    """What a plan for `most` photos of one size says of the first of them.

    Bounds of segments have one entry more than there are segments.
    """
    if not isinstance(part, Tensor):
        return part
    each, bounds = divmod(len(part), most)
    return part[: each * photos + bounds]


def quicken(visual: Any) -> None:
    """Give a vision tower dense attention and a matrix for its convolution."""
    visual.patch_embed = StillPatches(visual.patch_embed.proj)
    # The setter asks for the flash-attn library because of the name.
    visual.config._attn_implementation = SEGMENTED  # noqa: SLF001


def added_to_photos(hidden: Tensor, _masks: None, deep: Tensor) -> Tensor:
    """DeepStack: add features (B, N, width) to the first N of the hidden states."""
    count = deep.shape[1]
    return torch.cat([hidden[:, :count] + deep.to(hidden.dtype), hidden[:, count:]], 1)
