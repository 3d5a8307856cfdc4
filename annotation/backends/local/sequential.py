"""The exact slower way, for models whose layers are not all full attention.

What linear attention has read cannot be masked away, so the photo is read once, its
state is repeated, and questions of equal length are asked beside each other.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache

from annotation.backends.local.asking import Prompt
from annotation.backends.local.families import Family, Seen
from annotation.backends.local.framing import Bucket
from annotation.backends.local.packing import prefill

# Each is a copy of a photo's whole state, beside the weights.
MOST_ROWS: Final = 128


class SequentialReader:
    """Reads a photo, then its questions, length by length. No state between calls."""

    def __init__(self, family: Family, prompt: Prompt) -> None:
        self._family = family
        self._prompt = prompt
        self._text = DynamicCache(config=family.text_config)
        prefill(family, family.embed(prompt.head), 0, self._text)
        self._tail = family.embed(prompt.tail)
        self._groups = self._of_equal_length()

    def tokens(self, bucket: Bucket) -> int:
        """How many tokens a photo of this bucket takes, text before it not counted."""
        asked = sum(len(question) for question in self._prompt.questions)
        return self._family.image_tokens(bucket) + len(self._prompt.tail) + asked

    def answers(self, seen: Seen, bucket: Bucket) -> Tensor:
        """The last hidden state of every question, (B, questions, width)."""
        photos = len(seen.tokens)
        read, free = self._read(seen, bucket)
        ends = torch.empty(
            photos, len(self._prompt.questions), self._tail.shape[-1]
        ).to(seen.tokens)
        at_once = max(1, MOST_ROWS // photos)
        for which, asked in self._groups:
            for start in range(0, len(which), at_once):
                some = slice(start, start + at_once)
                ends[:, which[some]] = self._asked(read, asked[some], free, photos)
        return ends

    def _read(self, seen: Seen, bucket: Bucket) -> tuple[DynamicCache, int]:
        """The state after the photo, and the next free position."""
        family, photos = self._family, len(seen.tokens)
        start, tail = len(self._prompt.head), len(self._prompt.tail)
        places, free = family.image_positions(bucket, start)
        after = torch.arange(free, free + tail).expand(len(places), -1)
        positions = torch.cat([places, after], 1).to(family.device)
        cache = repeated(self._text, torch.zeros(photos, dtype=torch.long))
        family.language(
            inputs_embeds=torch.cat(
                [seen.tokens, self._tail.expand(photos, -1, -1)], 1
            ),
            position_ids=family.position_ids(positions),
            past_key_values=cache,
            use_cache=True,
            **family.extras(seen),
        )
        return cache, free + tail

    def _asked(
        self, read: DynamicCache, asked: Tensor, free: int, photos: int
    ) -> Tensor:
        """Last hidden states of questions (K, length, width), for every photo."""
        family, (count, length, _) = self._family, asked.shape
        positions = torch.arange(free, free + length, device=family.device)
        hidden: Tensor = family.language(
            inputs_embeds=asked.repeat(photos, 1, 1),
            position_ids=family.position_ids(positions.expand(family.axes, -1)),
            past_key_values=repeated(
                read, torch.arange(photos).repeat_interleave(count)
            ),
            use_cache=True,
        ).last_hidden_state
        return hidden[:, -1].view(photos, count, -1)

    def _of_equal_length(self) -> list[tuple[list[int], Tensor]]:
        """Which questions, and they embedded, (K, length, width)."""
        by_length = defaultdict(list)
        for number, question in enumerate(self._prompt.questions):
            by_length[len(question)].append(number)
        embed, questions = self._family.embed, self._prompt.questions
        return [
            (which, torch.cat([embed(questions[number]) for number in which]))
            for which in by_length.values()
        ]


def repeated(cache: DynamicCache, rows: Tensor) -> DynamicCache:
    """A copy of a cache with these of its rows."""
    copied: Any = copy.deepcopy(cache)
    copied.reorder_cache(rows)
    repeat: DynamicCache = copied
    return repeat
