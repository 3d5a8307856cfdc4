"""All questions behind one photo in one pass, none of them seeing another.

The questions are a trie: tokens that several begin with are computed once. A token sees
the text, the photo and its own beginnings; its position is its depth, as if its
question stood alone. So the answers equal those of one prompt per question. The text
before the photo is the same for all photos: its keys and values are computed once.
Needs full attention in every layer: see `families.packable`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import DynamicCache

from annotation.backends.local.asking import Prompt
from annotation.backends.local.families import Family, Seen
from annotation.backends.local.framing import Bucket


@dataclass(frozen=True, eq=False)
class Pack:
    """Questions as a trie of T tokens.

    `tokens` (T,); `depths` (T,) from 0; `sees` (T, T), row sees column; `ends`
    (questions,), the token that each question ends with.
    """

    tokens: npt.NDArray[np.int64]
    depths: npt.NDArray[np.int64]
    sees: npt.NDArray[np.bool_]
    ends: npt.NDArray[np.int64]


def pack(questions: Sequence[Sequence[int]]) -> Pack:
    """Put questions, as token ids, into one trie."""
    nodes: dict[tuple[int, ...], int] = {}
    for question in questions:
        for length in range(1, len(question) + 1):
            nodes.setdefault(tuple(question[:length]), len(nodes))
    sees = np.zeros((len(nodes), len(nodes)), bool)
    for path, node in nodes.items():
        sees[node, [nodes[path[: end + 1]] for end in range(len(path))]] = True
    return Pack(
        tokens=np.array([path[-1] for path in nodes], np.int64),
        depths=np.array([len(path) - 1 for path in nodes], np.int64),
        sees=sees,
        ends=np.array([nodes[tuple(question)] for question in questions], np.int64),
    )


@dataclass(frozen=True, eq=False)
class Layout:
    """Where everything stands behind the text of one bucket: no photo changes it."""

    positions: Tensor
    mask: Tensor  # (1, 1, queries, keys), added to the scores
    ends: Tensor  # (questions,)


class SharedText:
    """Keys and values of the text before the photo, shared by every row of a batch.

    Stands in for a transformers cache and keeps nothing of what it is given.
    """

    def __init__(self, states: list[tuple[Tensor, Tensor]]) -> None:
        self._states = states

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """The text's keys and values before those of the photo and the questions."""
        rows = keys.shape[0]
        text_keys, text_values = self._states[layer]
        return (
            torch.cat([text_keys.expand(rows, -1, -1, -1), keys], 2),
            torch.cat([text_values.expand(rows, -1, -1, -1), values], 2),
        )

    def get_seq_length(self, _layer: int = 0) -> int:
        return self._states[0][0].shape[2]


class PackedReader:
    """Reads all questions of a batch in one pass. Holds no state between calls."""

    def __init__(self, family: Family, prompt: Prompt) -> None:
        self._family = family
        self._prompt = prompt
        self._pack = pack(prompt.questions)
        cache = DynamicCache(config=family.text_config)
        prefill(family, family.embed(prompt.head), 0, cache)
        layers: Any = cache.layers
        self._text = SharedText([(layer.keys, layer.values) for layer in layers])
        after = [*prompt.tail, *self._pack.tokens.tolist()]
        self._after = family.embed(after)
        self._layouts: dict[Bucket, Layout] = {}

    def tokens(self, bucket: Bucket) -> int:
        """How many tokens a photo of this bucket takes, text before it not counted."""
        return self._family.image_tokens(bucket) + self._after.shape[1]

    def answers(self, seen: Seen, bucket: Bucket) -> Tensor:
        """The last hidden state of every question, (B, questions, width)."""
        layout = self._layout(bucket)
        after = self._after.expand(len(seen.tokens), -1, -1)
        hidden: Tensor = self._family.language(
            inputs_embeds=torch.cat([seen.tokens, after], 1),
            attention_mask=layout.mask,
            position_ids=layout.positions,
            past_key_values=self._text,
            use_cache=False,
            **self._family.extras(seen),
        ).last_hidden_state
        return hidden.index_select(1, layout.ends)

    def _layout(self, bucket: Bucket) -> Layout:
        if bucket not in self._layouts:
            self._layouts[bucket] = self._laid_out(bucket)
        return self._layouts[bucket]

    def _laid_out(self, bucket: Bucket) -> Layout:
        family, start = self._family, len(self._prompt.head)
        image, tail = family.image_tokens(bucket), len(self._prompt.tail)
        places, free = family.image_positions(bucket, start)
        depths = torch.from_numpy(self._pack.depths) + tail
        after = torch.cat([torch.arange(tail), depths]) + free
        device = family.device
        positions = torch.cat([places, after.expand(len(places), -1)], 1)
        ends = torch.from_numpy(self._pack.ends) + image + tail
        return Layout(
            positions=family.position_ids(positions.to(device)),
            mask=additive(block_mask(start, image + tail, self._pack.sees))
            .to(family.dtype)
            .to(device),
            ends=ends.to(device),
        )


def prefill(family: Family, embedded: Tensor, start: int, cache: DynamicCache) -> None:
    """Run plain text, (1, T, width), into a cache, from position `start` on."""
    positions = torch.arange(start, start + embedded.shape[1], device=family.device)
    family.language(
        inputs_embeds=embedded,
        position_ids=family.position_ids(positions.expand(family.axes, -1)),
        past_key_values=cache,
        use_cache=True,
    )


def block_mask(before: int, causal: int, sees: npt.NDArray[np.bool_]) -> Tensor:
    """Who sees whom, bool (1, 1, causal + T, before + causal + T).

    `before` keys are seen by all; `causal` tokens follow, seen by the T of the trie.
    """
    packed = len(sees)
    mask = torch.zeros(causal + packed, before + causal + packed, dtype=torch.bool)
    mask[:, :before] = True
    mask[:causal, before : before + causal] = torch.ones(causal, causal).tril().bool()
    mask[causal:, before : before + causal] = True
    mask[causal:, before + causal :] = torch.from_numpy(sees)
    return mask[None, None]


def additive(sees: Tensor) -> Tensor:
    """0 where a key is seen, else minus infinity: as attention kernels want it."""
    return torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)
