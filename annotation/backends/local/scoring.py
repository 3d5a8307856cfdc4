"""From pixels to probabilities: one batch of framed photos in, numbers out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from annotation.backends.local.asking import Prompt
from annotation.backends.local.families import Family, Seen
from annotation.backends.local.features import Features
from annotation.backends.local.framing import Bucket
from annotation.backends.local.transfers import transfer

Floats = npt.NDArray[np.float32]
# Logits of so many questions at once: with 152,000 words they are large.
LOGITS_ROWS: Final = 1024


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model makes of B photos. float32, on the CPU.

    `probabilities` has, for each of prompt.QUESTIONS, (B, options), rows sum to 1;
    `mass` (B, questions) is what the model gave to any option in its whole vocabulary;
    `features` (B, width); `tokens` were computed for each photo; `gpu_seconds` are the
    GPU's own for all of them, 0 without one.
    """

    probabilities: list[Floats]
    mass: Floats
    features: Floats
    tokens: int
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Description:
    """What is running, for benchmarks and logs."""

    model: str
    parameters: int
    dtype: str
    device: str
    quantization: str
    reading: str  # "packed" or "sequential"


class Reader(Protocol):
    """How questions are put to a photo."""

    def tokens(self, bucket: Bucket) -> int: ...

    def answers(self, seen: Seen, bucket: Bucket) -> Tensor: ...


class Choices:
    """The words that answer each question, and how likely they are."""

    def __init__(self, prompt: Prompt, device: torch.device) -> None:
        self.counts = [len(options) for options in prompt.options]
        spellings = max(len(o) for options in prompt.options for o in options)
        shape = (len(self.counts), max(self.counts), spellings)
        words = torch.zeros(shape, dtype=torch.long)
        absent = torch.ones(shape, dtype=torch.bool)
        for question, options in enumerate(prompt.options):
            for option, ids in enumerate(options):
                words[question, option, : len(ids)] = torch.tensor(ids)
                absent[question, option, : len(ids)] = False
        self._words, self._absent = words.to(device), absent.to(device)

    def likely(self, logits: Any, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (B, questions, most options) and mass (B, questions).

        Spellings of one option are added. Softmax over the vocabulary in float32.
        """
        words = self._words.expand(len(hidden), -1, -1, -1).flatten(0, 1)
        rows = torch.split(hidden.flatten(0, 1), LOGITS_ROWS)
        found = [
            _log_probabilities(logits(some), asked)
            for some, asked in zip(rows, torch.split(words, LOGITS_ROWS), strict=True)
        ]
        spelled = torch.cat(found).view(len(hidden), *self._words.shape)
        options = spelled.masked_fill(self._absent, -torch.inf).logsumexp(-1)
        return options.softmax(-1), options.logsumexp(-1).exp()


def _log_probabilities(logits: Tensor, words: Tensor) -> Tensor:
    """Of these words, (rows, options, spellings), among the whole vocabulary."""
    logits = logits.float()
    chosen = logits.gather(1, words.flatten(1)).view_as(words)
    return chosen - logits.logsumexp(1)[:, None, None]


class Scorer:
    """A loaded model. Safe to share between threads: one pass is begun at a time."""

    def __init__(
        self,
        family: Family,
        prompt: Prompt,
        reader: Reader,
        features: Features,
        buckets: tuple[Bucket, ...],
        description: Description,
    ) -> None:
        self.buckets = buckets
        # Framed with it, what is no photo becomes zeros.
        red, green, blue = (round(255 * mean) for mean in family.mean)
        self.padding = red, green, blue
        self.description = description
        self._family = family
        self._reader = reader
        self._features = features
        self._choices = Choices(prompt, family.device)
        # Passes of one stream take their memory one after another; launched by two
        # threads at once they would compete for it.
        self._one_at_a_time = threading.Lock()

    def score(
        self, pixels: npt.NDArray[np.uint8] | Tensor, boxes: npt.NDArray[np.int64]
    ) -> Scores:
        """Read photos of one bucket: (B, height, width, 3), the photos in `boxes`.

        `boxes` (B, 4) are top, left, height, width; what is outside is padding.
        Raises torch.OutOfMemoryError: try again with fewer.
        """
        return self.begin(pixels, boxes)()

    def begin(
        self, pixels: npt.NDArray[np.uint8] | Tensor, boxes: npt.NDArray[np.int64]
    ) -> Callable[[], Scores]:
        """Launch the same; what is given back waits for the device, once.

        So the next batch can be launched before this one is fetched.
        """
        bucket, device = Bucket(*pixels.shape[1:3]), self._family.device
        with self._one_at_a_time, torch.inference_mode():
            way = transfer(device)
            numbers = self._numbers(way.sent(pixels), way.sent(boxes), bucket)
            fetched = way.fetched(torch.cat([part.flatten(1) for part in numbers], 1))
        tokens = self._reader.tokens(bucket)
        return lambda: self._scores(*fetched(), tokens)

    def _numbers(
        self, pixels: Tensor, boxes: Tensor, bucket: Bucket
    ) -> tuple[Tensor, Tensor, Tensor]:
        seen = self._family.see(pixels)
        hidden = self._reader.answers(seen, bucket)
        probabilities, mass = self._choices.likely(self._family.logits, hidden)
        return probabilities, mass, self._features.of(pixels, boxes, seen)

    def _scores(self, flat: Floats, gpu_seconds: float, tokens: int) -> Scores:
        """Take apart what was copied together."""
        counts = self._choices.counts
        questions, most = len(counts), max(counts)
        ends = [questions * most, questions * (most + 1)]
        padded, mass, features = np.split(flat, ends, axis=1)
        padded = padded.reshape(len(flat), questions, most)
        return Scores(
            probabilities=[padded[:, i, :n] for i, n in enumerate(counts)],
            mass=mass,
            features=features,
            tokens=tokens,
            gpu_seconds=gpu_seconds,
        )
