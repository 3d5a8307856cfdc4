"""Architectures of random weights: true sizes to measure with, tiny ones to test with.

Built from configuration alone, straight on the device: nothing is ever downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from transformers import (
    AutoModelForImageTextToText,
    LlavaNextConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Qwen2_5_VLConfig,
    Qwen3_5Config,
    Qwen3VLConfig,
)

from annotation.backends.base import BackendUnavailableError
from annotation.backends.local import vocabulary

Make = Callable[[PreTrainedTokenizerBase], PreTrainedConfig]


@dataclass(frozen=True)
class Architecture:
    """A configuration, made for a tokenizer's special tokens, and a chat template."""

    config: Make
    template: str = vocabulary.QWEN_TEMPLATE


def build(
    name: str, *, device: torch.device, dtype: torch.dtype
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model of random weights on `device`, and its tokenizer.

    Raises BackendUnavailableError for a name that ARCHITECTURES does not have.
    """
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise BackendUnavailableError(f"No architecture {name!r}; there are {known}.")
    architecture = ARCHITECTURES[name]
    tokenizer = vocabulary.made_on_the_fly(architecture.template)
    config = architecture.config(tokenizer)
    families: Any = AutoModelForImageTextToText
    with device:
        model = families.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.eval().requires_grad_(requires_grad=False), tokenizer


def parameters(name: str) -> int:
    """How many numbers it has; takes no memory. Raises as `build` does."""
    model, _ = build(name, device=torch.device("meta"), dtype=torch.float32)
    return sum(weights.numel() for weights in model.parameters())


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The ids of what Qwen's models mark an image with."""
    ids = tokenizer.convert_tokens_to_ids
    return {
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


def _text(
    tokenizer: PreTrainedTokenizerBase, sizes: tuple[int, ...], **more: Any
) -> dict[str, Any]:
    """`sizes`: width, inner width, layers, heads, key-value heads, vocabulary."""
    width, inner, layers, heads, kv_heads, tokens = sizes
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": tokens,
        "max_position_embeddings": 32768,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        **more,
    }


def _rope(theta: float, section: list[int], **more: Any) -> dict[str, Any]:
    return {
        "rope_type": "default",
        "rope_theta": theta,
        "mrope_section": section,
        **more,
    }


def _qwen2_5(
    tokenizer: PreTrainedTokenizerBase,
    *,
    text: tuple[int, ...],
    section: tuple[int, ...] = (16, 24, 24),
    tie: bool = False,
    **vision: Any,
) -> PreTrainedConfig:
    true_size = {
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "fullatt_block_indexes": [7, 15, 23, 31],
    }
    return Qwen2_5_VLConfig(
        text_config=_text(tokenizer, text, rope_parameters=_rope(1e6, list(section))),
        vision_config={
            **true_size,
            "patch_size": 14,
            "window_size": 112,
            "out_hidden_size": text[0],
            **vision,
        },
        tie_word_embeddings=tie,
        **_special(tokenizer),
    )


def _qwen3(
    tokenizer: PreTrainedTokenizerBase,
    *,
    text: tuple[int, ...],
    vision: tuple[int, int, int, int],
    deepstack: tuple[int, ...],
    section: tuple[int, ...] = (24, 20, 20),
    head: int = 128,
    grid: int = 2304,
    tie: bool = True,
) -> PreTrainedConfig:
    """`vision`: depth, width, inner width, heads."""
    rope = _rope(5e6, list(section), mrope_interleaved=True)
    return Qwen3VLConfig(
        text_config=_text(tokenizer, text, head_dim=head, rope_parameters=rope),
        vision_config={
            **_vision(vision, text[0], grid),
            "deepstack_visual_indexes": list(deepstack),
        },
        tie_word_embeddings=tie,
        **_special(tokenizer),
    )


def _vision(sizes: tuple[int, ...], out: int, grid: int) -> dict[str, Any]:
    depth, width, inner, heads = sizes
    return {
        "depth": depth,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_heads": heads,
        "patch_size": 16,
        "num_position_embeddings": grid,
        "out_hidden_size": out,
    }


def _tiny_qwen3_5(tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """A hybrid: three of its four layers are linear attention."""
    rope = _rope(1e7, [2, 1, 1], mrope_interleaved=True, partial_rotary_factor=0.5)
    return Qwen3_5Config(
        text_config=_text(
            tokenizer,
            (64, 128, 4, 4, 2, TINY_VOCABULARY),
            head_dim=16,
            linear_key_head_dim=16,
            linear_value_head_dim=16,
            linear_num_key_heads=2,
            linear_num_value_heads=4,
            rope_parameters=rope,
        ),
        vision_config=_vision((2, 32, 64, 2), 64, 64),
        **_special(tokenizer),
    )


def _llava(
    tokenizer: PreTrainedTokenizerBase,
    *,
    text: tuple[int, ...],
    vision: tuple[int, int, int, int],
    side: int,
) -> PreTrainedConfig:
    """`vision`: depth, width, inner width, heads; `side`: of a tile, in pixels."""
    depth, width, inner, heads = vision
    sides = ((1, 2), (2, 1), (2, 2))
    image_token: Any = tokenizer.convert_tokens_to_ids(vocabulary.LLAVA_IMAGE)
    return LlavaNextConfig(
        text_config=_text(tokenizer, text, model_type="mistral", sliding_window=None),
        vision_config={
            "model_type": "clip_vision_model",
            "num_hidden_layers": depth,
            "hidden_size": width,
            "intermediate_size": inner,
            "num_attention_heads": heads,
            "image_size": side,
            "patch_size": 14,
            "projection_dim": width,
        },
        image_token_index=image_token,
        image_grid_pinpoints=[[side * h, side * w] for h, w in sides],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
    )


TINY_VOCABULARY: Final = 2048
_TINY_TEXT: Final = (64, 128, 3, 4, 2, TINY_VOCABULARY)

# Sizes as published with the weights: exactly 8.292, 3.755, 2.128, 4.438 and 8.767
# billion parameters for Qwen.
ARCHITECTURES: Final[Mapping[str, Architecture]] = {
    "qwen2_5_vl_7b": Architecture(
        partial(_qwen2_5, text=(3584, 18944, 28, 28, 4, 152064))
    ),
    "qwen2_5_vl_3b": Architecture(
        partial(_qwen2_5, text=(2048, 11008, 36, 16, 2, 151936), tie=True)
    ),
    "qwen3_vl_2b": Architecture(
        partial(
            _qwen3,
            text=(2048, 6144, 28, 16, 8, 151936),
            vision=(24, 1024, 4096, 16),
            deepstack=(5, 11, 17),
        )
    ),
    "qwen3_vl_4b": Architecture(
        partial(
            _qwen3,
            text=(2560, 9728, 36, 32, 8, 151936),
            vision=(24, 1024, 4096, 16),
            deepstack=(5, 11, 17),
        )
    ),
    "qwen3_vl_8b": Architecture(
        partial(
            _qwen3,
            text=(4096, 12288, 36, 32, 8, 151936),
            vision=(27, 1152, 4304, 16),
            deepstack=(8, 16, 24),
            tie=False,
        )
    ),
    "llava_next_7b": Architecture(
        partial(
            _llava,
            text=(4096, 14336, 32, 32, 8, 32064),
            vision=(24, 1024, 4096, 16),
            side=336,
        ),
        vocabulary.LLAVA_TEMPLATE,
    ),
    "tiny_qwen2_5": Architecture(
        partial(
            _qwen2_5,
            text=_TINY_TEXT,
            section=(2, 3, 3),
            depth=4,
            hidden_size=32,
            intermediate_size=64,
            num_heads=2,
            fullatt_block_indexes=[1, 3],
        )
    ),
    "tiny_qwen3": Architecture(
        partial(
            _qwen3,
            text=(64, 128, 4, 4, 2, TINY_VOCABULARY),
            vision=(4, 32, 64, 2),
            deepstack=(0, 1, 2),
            section=(2, 3, 3),
            head=16,
            grid=64,
        )
    ),
    "tiny_qwen3_5": Architecture(_tiny_qwen3_5),
    "tiny_llava": Architecture(
        partial(_llava, text=_TINY_TEXT, vision=(3, 32, 64, 2), side=56),
        vocabulary.LLAVA_TEMPLATE,
    ),
}
